import { hostname } from 'node:os'
import { checkNatsAddress, isSubjectPrefix, type NatsAddress, type NatsCredentials, type NatsTls } from '@tidewire/nats'

/** The NATS of a cluster, and the name of this node. */
export interface ClusterConfiguration {
  readonly address: NatsAddress
  readonly prefix: string
  readonly nodeName: string
}

/** The variables about NATS, as they were read; every one is optional. */
export interface NatsValues {
  readonly TIDEWIRE_NATS_URL?: string | undefined
  readonly TIDEWIRE_NATS_CREDS?: string | undefined
  readonly TIDEWIRE_NATS_TOKEN?: string | undefined
  readonly TIDEWIRE_NATS_USER?: string | undefined
  readonly TIDEWIRE_NATS_PASSWORD?: string | undefined
  readonly TIDEWIRE_NATS_TLS_CA?: string | undefined
  readonly TIDEWIRE_NATS_TLS_CERT?: string | undefined
  readonly TIDEWIRE_NATS_TLS_KEY?: string | undefined
  readonly TIDEWIRE_NATS_PREFIX?: string | undefined
  readonly TIDEWIRE_NATS_ALLOW_INSECURE?: boolean | undefined
  readonly TIDEWIRE_NODE_NAME?: string | undefined
}

export type ClusterResult =
  | { readonly ok: true; readonly cluster: ClusterConfiguration | null }
  /** Lines that name a variable, and hold no value. */
  | { readonly ok: false; readonly faults: readonly string[] }

export function readCluster(values: NatsValues, port: number): ClusterResult {
  const faults: string[] = []
  const credentials = credentialsOf(values, faults)
  const { TIDEWIRE_NATS_PREFIX: prefix = 'tidewire', TIDEWIRE_NATS_URL: url } = values
  if (!isSubjectPrefix(prefix)) faults.push('TIDEWIRE_NATS_PREFIX: must be letters, digits, - and _, in parts that dots separate')
  if (url === undefined) return faults.length === 0 ? { ok: true, cluster: null } : { ok: false, faults }
  const tls = tlsOf(values, faults)
  const checked = checkNatsAddress({
    url,
    tls,
    ...(credentials === null ? {} : { credentials }),
    allowInsecure: values.TIDEWIRE_NATS_ALLOW_INSECURE ?? false,
  })
  if (!checked.ok) faults.push(`TIDEWIRE_NATS_URL: ${checked.fault}${hintFor(checked.fault)}`)
  if (!checked.ok || faults.length > 0) return { ok: false, faults }
  return { ok: true, cluster: { address: checked.address, prefix, nodeName: nodeNameOf(values, port) } }
}

export function nodeNameOf({ TIDEWIRE_NODE_NAME }: Pick<NatsValues, 'TIDEWIRE_NODE_NAME'>, port: number): string {
  return TIDEWIRE_NODE_NAME ?? `${hostname()}-${port}`
}

function credentialsOf(values: NatsValues, faults: string[]): NatsCredentials | null {
  const { TIDEWIRE_NATS_CREDS: path, TIDEWIRE_NATS_TOKEN: token, TIDEWIRE_NATS_USER: user, TIDEWIRE_NATS_PASSWORD: password } = values
  if ((user === undefined) !== (password === undefined))
    faults.push('TIDEWIRE_NATS_USER: and TIDEWIRE_NATS_PASSWORD belong together; one of them is missing')
  const given: NatsCredentials[] = []
  if (path !== undefined) given.push({ kind: 'file', path })
  if (token !== undefined) given.push({ kind: 'token', token })
  if (user !== undefined && password !== undefined) given.push({ kind: 'password', user, password })
  if (given.length > 1) faults.push('TIDEWIRE_NATS_CREDS: give a credentials file, a token, or a user and password, not more than one')
  return given[0] ?? null
}

function tlsOf(values: NatsValues, faults: string[]): NatsTls | null {
  const { TIDEWIRE_NATS_TLS_CA: caFile, TIDEWIRE_NATS_TLS_CERT: certFile, TIDEWIRE_NATS_TLS_KEY: keyFile } = values
  if ((certFile === undefined) !== (keyFile === undefined))
    faults.push('TIDEWIRE_NATS_TLS_CERT: and TIDEWIRE_NATS_TLS_KEY belong together; one of them is missing')
  if (caFile === undefined && certFile === undefined) return null
  return { ...(caFile === undefined ? {} : { caFile }), ...(certFile === undefined || keyFile === undefined ? {} : { certFile, keyFile }) }
}

function hintFor(fault: string): string {
  return fault.includes('without credentials')
    ? '. Set TIDEWIRE_NATS_CREDS, TIDEWIRE_NATS_TOKEN, or TIDEWIRE_NATS_USER and TIDEWIRE_NATS_PASSWORD; TIDEWIRE_NATS_ALLOW_INSECURE=true allows it where the network itself is closed'
    : ''
}
