/** What is measured of the two clients, and what is expected of ours beside the other. */
export interface Figure {
  readonly name: string
  readonly title: string
  readonly unit: string
  readonly digits: number
  /** Ours is to be at most this, or at most this share of the other's. */
  readonly expected: { readonly atMost: number } | { readonly share: number } | null
}

/** How many broadcasts without an acknowledgement go out before messages are received. */
export const EARLIER_SENDS = [1, 1_000, 10_000] as const

/**
 * What a broadcast comes as: `binary` from a client of version 2.0.0, the default, and `text` from one of 1.0.0 or over HTTP.
 * The payload is JSON of about so many bytes; the larger it is, the more of the cost is its parse, in both clients.
 */
export const RECEIVED = [
  ['binary', 300],
  ['binary', 2000],
  ['text', 50],
  ['text', 300],
  ['text', 2000],
] as const

export const figures = [
  { name: 'bundle', title: 'the client, minified and gzipped', unit: 'B', digits: 0, expected: { atMost: 9_000 } },
  { name: 'bundle-all', title: 'everything that it exports, the same', unit: 'B', digits: 0, expected: null },
  { name: 'import', title: 'import in a fresh process', unit: 'ms', digits: 1, expected: { share: 0.5 } },
  ...EARLIER_SENDS.map((sends) => ({
    name: `receive-after-${sends}`,
    title: `receive a binary frame, payload 50 B, after ${sends.toLocaleString('en')} un-acked ${sends === 1 ? 'send' : 'sends'}`,
    unit: 'µs',
    digits: 2,
    expected: { share: 0.5 },
  })),
  ...RECEIVED.map(([frame, bytes]) => ({
    name: `receive-${frame}-${bytes}`,
    title: `receive a ${frame} frame, payload ${bytes.toLocaleString('en')} B, after 1 un-acked send`,
    unit: 'µs',
    digits: 2,
    expected: { share: 0.5 },
  })),
  { name: 'parse', title: '`JSON.parse` of a payload of 50 B alone, for comparison', unit: 'µs', digits: 2, expected: null },
  { name: 'presence', title: '`presenceState()` with 1,000 members', unit: 'µs', digits: 3, expected: { share: 0.01 } },
  { name: 'memory', title: 'heap for each of 1,000 channels', unit: 'B', digits: 0, expected: null },
  { name: 'rejoin', title: 'from a cut until 100 channels are joined again', unit: 'ms', digits: 0, expected: null },
  { name: 'handles', title: 'timers and sockets left after `disconnect()`', unit: '', digits: 0, expected: { atMost: 0 } },
  { name: 'exit', title: 'from `disconnect()` to the end of the process', unit: 'ms', digits: 0, expected: null },
] as const satisfies readonly Figure[]

export type FigureName = (typeof figures)[number]['name']

export const figureNames: readonly FigureName[] = figures.map(({ name }) => name)

export const libraries = ['@tidewire/client', '@supabase/realtime-js'] as const

export type Library = (typeof libraries)[number]

export interface Sample {
  readonly figure: FigureName
  readonly library: Library
  readonly round: number
  readonly value: number
}
