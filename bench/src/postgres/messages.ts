/** Messages between the processes of these scenarios. */

export interface DecodeJob {
  readonly url: string
  readonly slot: string
  readonly publication: string
  readonly rows: number
}

export type DecodeMessage = {
  readonly kind: 'decoded'
  readonly rows: number
  readonly elapsedMs: number
  readonly cpuMs: number
}

export type PolicyName = 'owner' | 'member-filtered' | 'member'

export interface FanOutJob {
  readonly url: string
  readonly policy: PolicyName
  readonly subscribers: number
}

/** How many deliveries are to come, counted from the beginning. */
export interface Expectation {
  readonly deliveries: number
}

export type FanOutMessage =
  | { readonly kind: 'subscribed'; readonly elapsedMs: number; readonly heapBytes: number; readonly rssBytes: number }
  | { readonly kind: 'reached' }
  /** After everything has come to rest: more than was expected is as wrong as less. */
  | { readonly kind: 'counted'; readonly deliveries: number; readonly faults: readonly string[] }
