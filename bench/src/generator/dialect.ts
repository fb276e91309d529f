/** The protocol of a server, as far as a load needs it. Deliveries are not read: `rehearsal.ts` finds out how long they are. */
export interface Dialect {
  /** Path and query of the upgrade. */
  readonly path: string
  /** What to send once the socket is open, before anything else, with how its answer begins; null for nothing. */
  readonly greeting: { readonly text: string; readonly answer: string } | null
  join(topic: string): string
  /** True for the answer to a join. */
  readonly isJoined: (text: string) => boolean
  /** What the publisher sends. `body` is the JSON of the message. */
  publish(topic: string, body: string): string
  /** Why the server refused a join or ended a channel, for a text that says so; null for any other. */
  readonly refusal: (text: string) => string | null
  /** What to answer to any other text frame, or null. */
  answer(text: string): string | null
}

export type DialectName = 'phoenix' | 'socket.io'

/**
 * The protocol of Supabase Realtime, version 2.0.0 in text frames, and no more of it than every such server knows. The plain `ws`
 * server speaks it too, so that it and ours move the same bytes.
 */
function phoenix(apiKey: string, path: string): Dialect {
  return {
    path: `${path}/websocket?vsn=2.0.0&apikey=${encodeURIComponent(apiKey)}`,
    greeting: null,
    join: (topic) => JSON.stringify(['1', '1', `realtime:${topic}`, 'phx_join', { config: { broadcast: { self: false, ack: false } } }]),
    isJoined: (text) => text.includes('"phx_reply",{"status":"ok"'),
    publish: (topic, body) => `["1","2","realtime:${topic}","broadcast",{"type":"broadcast","event":"b","payload":${body}}]`,
    refusal: (text) => (/"phx_(reply|close|error)"|"system"/.test(text) ? phoenixRefusal(text) : null),
    answer: () => null,
  }
}

function phoenixRefusal(text: string): string | null {
  const [, , topic, event, payload] = JSON.parse(text) as [unknown, unknown, string, string, Readonly<Record<string, unknown>>]
  const isBad =
    event === 'phx_close' || event === 'phx_error' || ((event === 'phx_reply' || event === 'system') && payload['status'] === 'error')
  return isBad ? `${event} on ${topic}: ${JSON.stringify(payload).slice(0, 300)}` : null
}

/** Engine.IO 4 and Socket.IO 5 over a WebSocket from the start. */
const socketIo: Dialect = {
  path: '/socket.io/?EIO=4&transport=websocket',
  greeting: { text: '40', answer: '40{' },
  join: (topic) => `420${JSON.stringify(['join', topic])}`,
  isJoined: (text) => text.startsWith('430['),
  publish: (topic, body) => `42["publish",${JSON.stringify(topic)},${body}]`,
  refusal: () => null,
  answer: (text) => (text === '2' ? '3' : null),
}

/** `path` is where the server has its sockets; null for where they usually are. */
export function dialectOf(name: DialectName, apiKey: string, path: string | null): Dialect {
  return name === 'phoenix' ? phoenix(apiKey, path ?? '/socket') : socketIo
}

export const SEQUENCE_DIGITS = 8

/** A message body of exactly `bytes` bytes that ends in its sequence number. */
export function messageBody(sequence: number, bytes: number): string {
  const [head, tail] = ['{"p":"', `","s":"${String(sequence).padStart(SEQUENCE_DIGITS, '0')}"}`]
  return head + 'x'.repeat(bytes - head.length - tail.length) + tail
}
