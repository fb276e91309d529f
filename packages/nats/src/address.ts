/** The credentials of a node at NATS. Values are secrets: they must not be logged. */
export type NatsCredentials =
  | { readonly kind: 'none' }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /** A file with a JWT and a seed, as `nsc` writes it. Read again for every connection. */
  | { readonly kind: 'file'; readonly path: string }

/** The authority that the server's certificate is checked with, and a certificate of this node. */
export interface NatsTls {
  /** PEM files. */
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

export interface NatsAddressOptions {
  /** One or more URLs, separated by commas: `nats://host:4222` or `tls://host:4222`, with `user:password@` or `token@` if wanted. */
  readonly url: string
  readonly credentials?: NatsCredentials
  readonly tls?: NatsTls | null
  /** Allows a broker on another machine without credentials or encryption. */
  readonly allowInsecure?: boolean
}

/** A checked address. */
export interface NatsAddress {
  /** `host:port`, IPv6 in brackets. */
  readonly servers: readonly string[]
  readonly credentials: NatsCredentials
  /** `required`: a server without TLS is refused. `offered`: used where the server has it. */
  readonly encryption: 'required' | 'offered'
  readonly tls: NatsTls
}

/** An address, or a sentence about its fault, which holds no secret. */
export type NatsAddressResult = { readonly ok: true; readonly address: NatsAddress } | { readonly ok: false; readonly fault: string }

const DEFAULT_PORT = '4222'

/** Broadcasts of private channels pass through the broker: off this machine it must know its users, and the way to it must be encrypted. */
export function checkNatsAddress({ url, credentials, tls = null, allowInsecure = false }: NatsAddressOptions): NatsAddressResult {
  const servers: string[] = []
  let inUrl: NatsCredentials = { kind: 'none' }
  let encrypted = tls !== null
  let remote: string | null = null
  for (const text of url.split(',').map((each) => each.trim())) {
    const parsed = parseUrl(text)
    if (parsed === null) return fault('must be one or more URLs such as nats://host:4222 or tls://host:4222, separated by commas')
    servers.push(`${parsed.hostname}:${parsed.port === '' ? DEFAULT_PORT : parsed.port}`)
    if (parsed.protocol === 'tls:') encrypted = true
    if (!isLoopback(parsed.hostname)) remote ??= parsed.hostname
    const given = credentialsOf(parsed)
    if (given.kind === 'none') continue
    if (inUrl.kind !== 'none' && JSON.stringify(inUrl) !== JSON.stringify(given))
      return fault('names different credentials; give them once')
    inUrl = given
  }
  const chosen = credentials ?? { kind: 'none' }
  if (chosen.kind !== 'none' && inUrl.kind !== 'none') return fault('holds credentials, and others are given beside it; give them once')
  const used = chosen.kind === 'none' ? inUrl : chosen
  if (remote !== null && !allowInsecure) {
    // A client certificate is a credential, too.
    if (used.kind === 'none' && tls?.certFile === undefined)
      return fault(
        `names ${remote}, which is not this machine, without credentials: any program that reaches it could read and send messages`,
      )
    encrypted = true
  }
  return { ok: true, address: { servers, credentials: used, encryption: encrypted ? 'required' : 'offered', tls: tls ?? {} } }
}

function parseUrl(text: string): URL | null {
  const match = /^(nats|tls):\/\//.exec(text)
  // `URL` checks ports and brackets only for schemes that it knows.
  if (match === null || !URL.canParse(text.replace(match[0], 'http://'))) return null
  const url = new URL(text)
  if (url.hostname === '' || !(url.pathname === '' || url.pathname === '/') || url.search !== '' || url.hash !== '') return null
  return url
}

function credentialsOf({ username, password }: URL): NatsCredentials {
  if (username === '') return { kind: 'none' }
  if (password === '') return { kind: 'token', token: decoded(username) }
  return { kind: 'password', user: decoded(username), password: decoded(password) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

function fault(text: string): NatsAddressResult {
  return { ok: false, fault: text }
}
