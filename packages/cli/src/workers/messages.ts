/** Between the primary process and its workers, over the channel of Node's cluster. Both run the same program. */
export type FromWorker =
  | { readonly type: 'ready'; readonly url: string }
  /** Every second: its event loop turns. */
  | { readonly type: 'alive'; readonly connections: number }
  | { readonly type: 'ask-metrics'; readonly id: number }
  /** Its own metrics, as the primary asked for them. */
  | { readonly type: 'metrics'; readonly id: number; readonly text: string }

export type FromPrimary =
  | { readonly type: 'stop'; readonly signal: string }
  | { readonly type: 'metrics'; readonly id: number }
  | { readonly type: 'all-metrics'; readonly id: number; readonly text: string }
  /** What is wrong with any worker; `null`: nothing. */
  | { readonly type: 'trouble'; readonly sentence: string | null }

/** The settings of one worker, in its environment. */
export interface WorkerPlace {
  /** From 1. A worker that replaces another has its number. */
  readonly number: number
  readonly count: number
  /** Of the socket to the other workers. */
  readonly socketPath: string
}

export const PLACE_VARIABLE = 'TIDEWIRE_WORKER_PLACE'
