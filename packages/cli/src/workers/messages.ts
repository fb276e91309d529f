/** Messages between the primary process and its workers, over the channel of Node's cluster. Both run the same program. */
export type FromWorker =
  | { readonly type: 'ready'; readonly url: string }
  /** Sent every second: the event loop of the worker turns. */
  | { readonly type: 'alive'; readonly connections: number }
  | { readonly type: 'ask-metrics'; readonly id: number }
  /** The worker's own metrics; answers a question of the primary. */
  | { readonly type: 'metrics'; readonly id: number; readonly text: string }

export type FromPrimary =
  | { readonly type: 'stop'; readonly signal: string }
  | { readonly type: 'metrics'; readonly id: number }
  | { readonly type: 'all-metrics'; readonly id: number; readonly text: string }
  /** A sentence about a worker that does not serve; `null`: all do. */
  | { readonly type: 'trouble'; readonly sentence: string | null }

/** The settings of one worker, in its environment. */
export interface WorkerPlace {
  /** From 1. A worker that replaces another has its number. */
  readonly number: number
  readonly count: number
  /** The path of the socket to the other workers. */
  readonly socketPath: string
}

export const PLACE_VARIABLE = 'TIDEWIRE_WORKER_PLACE'
