import { DEFAULT_VERSION, RealtimeError, type Version } from '@tidewire/protocol'
import { fullJitterMs } from './connection/backoff.ts'
import { addressOf, broadcastUrl } from './connection/endpoint.ts'
import { callSafely } from './listen/listeners.ts'
import type { Untyped } from './listen/payloads.ts'
import type { Runtime, WebSocketLikeConstructor } from './runtime.ts'
import { LONGEST_TIMER_MS } from './timer.ts'

/** How numbers come that a JavaScript number cannot hold; see `bigNumbers` of the client's options. */
export type BigNumbers = 'number' | 'string' | 'bigint'
/** The outcome of a heartbeat: written, answered, refused, or not answered in time. `disconnected` is in the type for realtime-js alone. */
export type HeartbeatStatus = 'sent' | 'ok' | 'error' | 'timeout' | 'disconnected'
/** Called for each heartbeat, and with its latency for each answer. */
export type HeartbeatCallback = (status: HeartbeatStatus, latencyMs?: number) => void
/** How much a server writes to its log of one socket. Tidewire's server ignores it. */
export type LogLevel = 'info' | 'warn' | 'error' | (string & {})

/** A message as `encode` gets it and `decode` gives it. */
export interface RealtimeMessage {
  topic: string
  event: string
  payload: Untyped
  ref: string
  join_ref?: string
}

/** The options of a client; all have defaults but the API key. Unfit ones are reported all at once, by the constructor. */
export interface RealtimeClientOptions {
  /** The project's API key. May also stand in `params.apikey`. */
  apikey?: string
  /** Query parameters of the socket's URL. */
  params?: { [key: string]: Untyped }
  /** The WebSocket to use. Default: the platform's own, else the package `ws`, loaded at connect. */
  transport?: WebSocketLikeConstructor
  /** How long joins, pushes, heartbeats and HTTP calls wait for their answer. Milliseconds, default 10 000. */
  timeout?: number
  /** Milliseconds between heartbeats, default 25 000. One may stay unanswered for as long, but no longer than `timeout`. */
  heartbeatIntervalMs?: number
  heartbeatCallback?: HeartbeatCallback
  /** `1.0.0` or `2.0.0` (default). */
  vsn?: string
  logger?: (kind: string, msg: string, data?: Untyped) => void
  /** Sent along to the server, which logs this socket at that level. */
  logLevel?: LogLevel
  log_level?: LogLevel
  encode?: (payload: RealtimeMessage, done: (encoded: string | ArrayBufferLike) => void) => void
  decode?: (raw: string | ArrayBuffer, done: (message: RealtimeMessage) => void) => void
  /** Milliseconds before attempt number `tries` (from 1). Default: full jitter up to 1, 2, 5, then 10 seconds. */
  reconnectAfterMs?: (tries: number) => number
  /** Accepted and not used: browsers cannot set headers on a WebSocket. */
  headers?: { [key: string]: string }
  fetch?: typeof globalThis.fetch
  /** Let a Web Worker keep the time, which browsers do not slow down in hidden pages. */
  worker?: boolean
  workerUrl?: string
  /** The user's token, asked for before each join. Without one the API key counts. */
  accessToken?: () => Promise<string | null>
  /** How long `accessToken` may take. Milliseconds, default `timeout`. */
  accessTokenTimeoutMs?: number
  /**
   * How Postgres numbers come that a JavaScript number cannot hold (int8, numeric): `number` rounds them as
   * realtime-js does (default), `string` gives their digits, `bigint` gives whole ones as BigInt and others as digits.
   */
  bigNumbers?: BigNumbers
  /** How long the socket stays open without a channel. Milliseconds, default twice the heartbeat interval. */
  disconnectOnEmptyChannelsAfterMs?: number
  /** Accepted and not used: there is no long polling. */
  sessionStorage?: unknown
}

/** The options as the client uses them: every default filled in. */
export interface ResolvedOptions {
  readonly apikey: string
  readonly params: { readonly [key: string]: unknown }
  readonly httpUrl: string
  readonly version: Version
  readonly timeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly accessTokenTimeoutMs: number
  readonly emptyDisconnectMs: number
  /** Whether there is a callback to ask for a new token. */
  readonly canRefresh: boolean
  readonly bigNumbers: BigNumbers
  readonly retryInMs: (attempt: number) => number
}

/** Reads the options without writing to them. Throws one RealtimeError (`bad-option`) that names every fault. */
export function resolveOptions(
  endpoint: string,
  options: RealtimeClientOptions,
  runtime: Pick<Runtime, 'random' | 'report'>,
): ResolvedOptions {
  const faults: string[] = []
  const { params = {}, vsn = DEFAULT_VERSION, logLevel = options.log_level } = options
  const apikey = options.apikey ?? params['apikey']
  if (typeof apikey !== 'string' || apikey === '') faults.push('API key is required to connect to Realtime')
  if (vsn !== '1.0.0' && vsn !== '2.0.0') faults.push(`Unsupported serializer version: ${vsn}`)
  let httpUrl = ''
  try {
    httpUrl = broadcastUrl(endpoint)
  } catch {
    faults.push(`"${addressOf(endpoint)}" is no URL such as ws://localhost:4000/realtime/v1`)
  }
  const milliseconds = (
    name: 'timeout' | 'heartbeatIntervalMs' | 'accessTokenTimeoutMs' | 'disconnectOnEmptyChannelsAfterMs',
    fallback: number,
  ): number => {
    const value = options[name] ?? fallback
    if (options[name] !== undefined && !isMilliseconds(value)) faults.push(`${name} must be milliseconds below 2^31`)
    return value
  }
  const timeoutMs = milliseconds('timeout', 10_000)
  const heartbeatIntervalMs = milliseconds('heartbeatIntervalMs', 25_000)
  const resolved: ResolvedOptions = {
    apikey: apikey as string,
    params: { ...('apikey' in params ? {} : { apikey }), ...params, ...(logLevel !== undefined && { log_level: logLevel }), vsn },
    httpUrl,
    version: vsn as Version,
    timeoutMs,
    heartbeatIntervalMs,
    accessTokenTimeoutMs: milliseconds('accessTokenTimeoutMs', timeoutMs),
    emptyDisconnectMs: milliseconds('disconnectOnEmptyChannelsAfterMs', Math.min(2 * heartbeatIntervalMs, LONGEST_TIMER_MS)),
    canRefresh: options.accessToken !== undefined,
    bigNumbers: options.bigNumbers ?? 'number',
    retryInMs(attempt) {
      let waitMs: number | undefined
      const ask = (): void => void (waitMs = options.reconnectAfterMs?.(attempt))
      callSafely('reconnectAfterMs', ask, (error) => runtime.report(error))
      // A value that is no time to wait would make the timer fire at once, for ever.
      return waitMs !== undefined && isMilliseconds(waitMs) ? waitMs : fullJitterMs(attempt, runtime.random())
    },
  }
  if (faults.length > 0) throw new RealtimeError('bad-option', faults.join('; '))
  return resolved
}

function isMilliseconds(value: number): boolean {
  return value >= 0 && value <= LONGEST_TIMER_MS
}
