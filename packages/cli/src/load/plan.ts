import { misused } from '../failure.ts'
import { parseCount, parseTimeout } from '../values.ts'

/** The plan of a load test. Everything is bounded. */
export interface LoadPlan {
  readonly topics: number
  /** Subscribers of all topics together. */
  readonly subscribers: number
  readonly durationMs: number
  /** The most messages that are sent. */
  readonly maxMessages: number
  /** Bytes of a broadcast's payload. */
  readonly payloadBytes: number
  readonly pace: Pace
}

export type Pace =
  /** Sends at a rate, whatever the server does. */
  | { readonly kind: 'rate'; readonly messagesPerSecond: number }
  /** Keeps `inFlight` messages of each topic on their way: as fast as the server can. */
  | { readonly kind: 'closed'; readonly inFlight: number }

export interface PlanValues {
  readonly topics: string
  readonly subscribers: string
  readonly duration: string
  readonly messages?: string | undefined
  readonly size: string
  readonly rate?: string | undefined
  readonly 'in-flight'?: string | undefined
}

/** Bounds: enough to load a server, and too little to run unnoticed for long. */
const MOST = { subscribers: 10_000, durationMs: 600_000, messages: 10_000_000, payloadBytes: 1_000_000, rate: 100_000, inFlight: 1_000 }
const LEAST_PAYLOAD_BYTES = 32

/** Reads the options of `tidewire bench`. Throws a Failure. */
export function planOf(values: PlanValues): LoadPlan {
  if (values.rate !== undefined && values['in-flight'] !== undefined) throw misused('--rate and --in-flight exclude each other.')
  const topics = within('--topics', values.topics, MOST.subscribers)
  const subscribers = within('--subscribers', values.subscribers, MOST.subscribers)
  if (topics > subscribers) throw misused('--topics may not be more than --subscribers.')
  const durationMs = parseTimeout('--duration', values.duration)
  if (durationMs > MOST.durationMs) throw misused('--duration may be 10m at most.')
  const payloadBytes = within('--size', values.size, MOST.payloadBytes)
  if (payloadBytes < LEAST_PAYLOAD_BYTES) throw misused(`--size must be ${LEAST_PAYLOAD_BYTES} at least.`)
  return {
    topics,
    subscribers,
    durationMs,
    maxMessages: values.messages === undefined ? MOST.messages : within('--messages', values.messages, MOST.messages),
    payloadBytes,
    pace:
      values.rate === undefined
        ? { kind: 'closed', inFlight: within('--in-flight', values['in-flight'] ?? '8', MOST.inFlight) }
        : { kind: 'rate', messagesPerSecond: within('--rate', values.rate, MOST.rate) },
  }
}

/** For people: `100 subscribers on 1 topic, 8 messages in flight, 200 B each, for 10 s`. */
export function describePlan({ topics, subscribers, durationMs, payloadBytes, pace }: LoadPlan): string {
  const how = pace.kind === 'rate' ? `${pace.messagesPerSecond} messages/s` : `${pace.inFlight} in flight${topics === 1 ? '' : ' on each'}`
  const where = topics === 1 ? '1 topic' : `${topics} topics`
  return `${subscribers} ${subscribers === 1 ? 'subscriber' : 'subscribers'} on ${where}, ${how}, ${payloadBytes} B each, for ${durationMs / 1000} s`
}

/** Whether a URL leads to this machine. */
export function isThisMachine(url: string): boolean {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

function within(option: string, text: string, most: number): number {
  const value = parseCount(option, text)
  if (value > most) throw misused(`${option} may be ${most} at most.`)
  return value
}
