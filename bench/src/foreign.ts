import { endpointOf } from '../../packages/cli/src/remote/target.ts'
import { isThisMachine } from '../../packages/cli/src/load/plan.ts'
import type { Contestant } from './contestants.ts'
import type { Address } from './messages.ts'

export interface ForeignOptions {
  /** As `tidewire bench` takes it: without a path, `/realtime/v1`. */
  readonly url: string
  readonly apiKey: string
  /** It is on another machine, and its owner agrees. */
  readonly mayElsewhere: boolean
}

/** A server that runs already and speaks the protocol. Throws an Error that says what is wrong with the options. */
export function foreignServer({ url, apiKey, mayElsewhere }: ForeignOptions): Contestant {
  const endpoint = new URL(endpointOf(url))
  if (apiKey === '') throw new Error('--url needs the key of that server: BENCH_APIKEY=…, or --apikey')
  if (!isThisMachine(endpoint.href) && !mayElsewhere)
    throw new Error(`${endpoint.host} is not on this machine. This can bring a server down: say --yes-i-may if its owner agrees`)
  return { name: `foreign ${endpoint.host}`, address: addressOf(endpoint), apiKey, dialect: 'phoenix' }
}

function addressOf(endpoint: URL): Address {
  const isTls = endpoint.protocol === 'wss:'
  return {
    // As it stands in the address of a socket, not of a page.
    host: endpoint.hostname.replace(/^\[|\]$/g, ''),
    authority: endpoint.host,
    port: endpoint.port === '' ? (isTls ? 443 : 80) : Number(endpoint.port),
    isTls,
    path: endpoint.pathname,
  }
}
