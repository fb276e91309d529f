import { failed, misused } from '../failure.ts'
import { readKeys } from '../project/keys.ts'
import { findServer } from '../project/running-server.ts'
import { parseTimeout } from '../values.ts'

/** A server and the key to it. */
export interface Target {
  /** The URL as it was given, for people. */
  readonly url: string
  /** The URL for `RealtimeClient`. */
  readonly endpoint: string
  readonly key: string
  readonly timeoutMs: number
}

export interface TargetValues {
  readonly url?: string | undefined
  readonly key?: string | undefined
  readonly timeout: string
}

/** The options that name the server of a command. */
export const targetArgs = {
  url: { type: 'string', description: "The server. Default: TIDEWIRE_URL, else this project's `tidewire dev`" },
  key: { type: 'string', description: "The API key. Default: TIDEWIRE_KEY, else this project's anon key" },
  timeout: { type: 'string', description: 'How long the server may take to answer', default: '10s', valueHint: 'duration' },
} as const

/** The server of the options, the environment or the project. Throws a Failure when there is none. */
export async function findTarget(values: TargetValues, folder: string, environment: NodeJS.ProcessEnv): Promise<Target> {
  const url = values.url ?? given(environment['TIDEWIRE_URL'])
  const key = values.key ?? given(environment['TIDEWIRE_KEY'])
  const timeoutMs = parseTimeout('--timeout', values.timeout)
  if (url !== undefined && key !== undefined) return { url, endpoint: endpointOf(url), key, timeoutMs }
  const own = findServer(folder)
  if (url === undefined && own === null)
    throw failed('No server runs in this project: start one with `tidewire dev`, or say where it is with --url and --key.')
  const isOwn = own !== null && (url === undefined || sameOrigin(url, own.server.url))
  const ownKey = isOwn ? (await readKeys(own.folder))?.anonKey : undefined
  if (key === undefined && ownKey === undefined) throw misused(`--key is missing: ${url ?? own!.server.url} needs one.`)
  const place = url ?? own!.server.url
  return { url: place, endpoint: endpointOf(place), key: key ?? ownKey!, timeoutMs }
}

/** The socket URL of a server. A URL without a path gets that of Supabase, where this server answers, too. Throws a Failure. */
export function endpointOf(url: string): string {
  if (!URL.canParse(url)) throw misused(`--url must be a URL such as http://127.0.0.1:4000, not ${JSON.stringify(url)}.`)
  const { protocol, host, pathname } = new URL(url)
  const scheme = SCHEMES[protocol]
  if (scheme === undefined || host === '') throw misused(`--url must begin with http://, https://, ws:// or wss://, not ${protocol}.`)
  const path = pathname.replace(/\/+$/, '').replace(/\/websocket$/, '')
  return `${scheme}//${host}${path === '' ? '/realtime/v1' : path}`
}

const SCHEMES: Readonly<Record<string, string>> = { 'http:': 'ws:', 'ws:': 'ws:', 'https:': 'wss:', 'wss:': 'wss:' }

function sameOrigin(a: string, b: string): boolean {
  return URL.canParse(a) && new URL(a).origin === new URL(b).origin
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}
