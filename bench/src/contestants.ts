import type { DialectName } from './generator/dialect.ts'

export interface Contestant {
  readonly name: string
  readonly file: string
  readonly dialect: DialectName
}

/** The others are measured against the one called `ws`. */
export const BASELINE = 'ws'

export const contestants: readonly Contestant[] = [
  { name: 'tidewire', file: './servers/tidewire.ts', dialect: 'phoenix' },
  { name: BASELINE, file: './servers/plain-ws.ts', dialect: 'phoenix' },
  { name: 'socket.io', file: './servers/socket-io.ts', dialect: 'socket.io' },
]
