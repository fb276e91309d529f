import type { DialectName } from './generator/dialect.ts'
import type { Faults } from '../../packages/cli/src/load/order-check.ts'
import type { Scenario } from './scenario.ts'

/** The address of a server. */
export interface Address {
  readonly host: string
  /** For the header Host. */
  readonly authority: string
  readonly port: number
  readonly isTls: boolean
  /** The path of its sockets; null for the dialect's own. */
  readonly path: string | null
}

/** A job of the generator. */
export interface Job {
  readonly scenario: Scenario
  readonly address: Address
  readonly dialect: DialectName
  readonly apiKey: string
  readonly sources: readonly string[]
  readonly warmUpMs: number
  readonly measureMs: number
}

export interface Latency {
  readonly p50: number
  readonly p99: number
}

export interface Measurement {
  readonly deliveries: number
  /** Pieces in which the deliveries came in. */
  readonly reads: number
  readonly elapsedMs: number
  readonly generatorCpuMicros: number
  /** Milliseconds; null for loads without a rate. */
  readonly latency: Latency | null
  readonly faults: Faults
}

export type GeneratorMessage =
  | { readonly kind: 'begin' }
  | { readonly kind: 'end' }
  | ({ readonly kind: 'measured' } & Measurement)
  | { readonly kind: 'joined' }
  | { readonly kind: 'left'; readonly connections: number }
  | { readonly kind: 'failed'; readonly reason: string }

/** From a process that only publishes. */
export type PublisherMessage = { readonly kind: 'begin' } | { readonly kind: 'published'; readonly messages: number }

/** CPU and memory of a server's process. */
export interface Usage {
  readonly cpuMicros: number
  readonly rssBytes: number
  /** The most that it has been. */
  readonly mostRssBytes: number
  /** Deliveries so far, where known. */
  readonly deliveries?: number
  /** Of the event loop, since it was asked last, where it is watched. */
  readonly longestDelayMs?: number
  readonly longestTurnMs?: number
}

export type ServerMessage =
  | { readonly kind: 'ready'; readonly port: number; readonly apiKey: string; readonly pids?: readonly number[] }
  | ({ readonly kind: 'usage' } & Usage)
  /** Bytes of the heap that are in use, after a garbage collection. */
  | { readonly kind: 'heap'; readonly bytes: number }
  /** The request is carried out. */
  | { readonly kind: 'done' }

/** What a server's process is asked over IPC. */
export type ServerRequest = 'usage' | 'heap' | 'stop' | 'watch' | 'unwatch'
