import type { Relay } from '@tidewire/server'
import { NatsServer, RelayRecorder } from '@tidewire/testkit'
import { afterEach } from 'vitest'
import { checkNatsAddress, type NatsCredentials, type NatsTls } from '../src/address.ts'
import { natsRelay } from '../src/io/nats-relay.ts'
import { nodeTestRuntime } from './runtime.ts'

export interface RelayAt {
  readonly name?: string
  readonly databaseId?: string
  readonly prefix?: string
  readonly credentials?: NatsCredentials
  readonly tls?: NatsTls
}

export interface Begun {
  readonly relay: Relay
  readonly seen: RelayRecorder
}

/** A relay of the process of the test. */
export function relayTo(url: string, { name = 'a', databaseId = 'db', prefix = 'tidewire', credentials, tls }: RelayAt = {}): Relay {
  const checked = checkNatsAddress({ url, ...(credentials && { credentials }), ...(tls && { tls }) })
  if (!checked.ok) throw new Error(checked.fault)
  return natsRelay({
    address: checked.address,
    runtime: nodeTestRuntime(),
    name,
    version: '1',
    prefix,
    databaseId: () => Promise.resolve(databaseId),
  })
}

/** What a test starts, and ends after it, the last first. */
export interface NatsWorld {
  natsServer(configuration?: string): Promise<NatsServer>
  /** A relay that runs and writes down what it is notified of. */
  begin(url: string, options?: RelayAt): Begun
  later(close: () => Promise<void> | void): void
}

export function useNats(): NatsWorld {
  const closing: (() => Promise<void> | void)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
  })
  return {
    async natsServer(configuration = '') {
      const own = await NatsServer.start(configuration)
      closing.push(() => own.close())
      return own
    },
    begin(url, options = {}) {
      const relay = relayTo(url, options)
      const seen = new RelayRecorder()
      relay.start(seen)
      closing.push(() => relay.close())
      return { relay, seen }
    },
    later: (close) => void closing.push(close),
  }
}

/** Whether the link is down for a reason that reads so. */
export function isDownWith({ seen }: Begun, reason: RegExp): boolean {
  return seen.links.some((link) => link.state === 'down' && reason.test(link.detail))
}
