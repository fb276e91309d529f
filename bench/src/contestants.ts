import type { DialectName } from './generator/dialect.ts'
import type { Address } from './messages.ts'

export type Contestant = { readonly name: string; readonly dialect: DialectName } & (
  | {
      /** Is started for each run. */
      readonly file: string
    }
  | {
      /** Runs already: its CPU and memory are not known here. */
      readonly address: Address
      readonly apiKey: string
    }
)

/** The others are measured against the one called `ws`. */
export const BASELINE = 'ws'

export const contestants: readonly Contestant[] = [
  { name: 'tidewire', file: './servers/tidewire.ts', dialect: 'phoenix' },
  { name: BASELINE, file: './servers/plain-ws.ts', dialect: 'phoenix' },
  { name: 'socket.io', file: './servers/socket-io.ts', dialect: 'socket.io' },
]
