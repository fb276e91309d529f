/** How a server is spoken to: what is sent, and how a delivered message is known without reading it. */
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
  /** What a subscriber gets: only its length and what follows the body in it matter. */
  delivery(topic: string, body: string): string
  /** What to answer to any other text frame, or null. */
  answer(text: string): string | null
}

export type DialectName = 'phoenix' | 'socket.io'

/** The protocol of Tidewire, version 2.0.0 in text frames; the plain `ws` server speaks it too, so that both move the same bytes. */
function phoenix(apiKey: string): Dialect {
  return {
    path: `/socket/websocket?vsn=2.0.0&apikey=${apiKey}`,
    greeting: null,
    join: (topic) => JSON.stringify(['1', '1', `realtime:${topic}`, 'phx_join', { config: { broadcast: { self: false, ack: false } } }]),
    isJoined: (text) => text.includes('"phx_reply",{"status":"ok"'),
    publish: (topic, body) => `["1","2","realtime:${topic}","broadcast",{"type":"broadcast","event":"b","payload":${body}}]`,
    delivery: (topic, body) => `[null,null,"realtime:${topic}","broadcast",{"type":"broadcast","event":"b","payload":${body}}]`,
    answer: () => null,
  }
}

/** Engine.IO 4 and Socket.IO 5 over a WebSocket from the start. */
const socketIo: Dialect = {
  path: '/socket.io/?EIO=4&transport=websocket',
  greeting: { text: '40', answer: '40{' },
  join: (topic) => `420${JSON.stringify(['join', topic])}`,
  isJoined: (text) => text.startsWith('430['),
  publish: (topic, body) => `42["publish",${JSON.stringify(topic)},${body}]`,
  delivery: (_topic, body) => `42["b",${body}]`,
  answer: (text) => (text === '2' ? '3' : null),
}

export function dialectOf(name: DialectName, apiKey: string): Dialect {
  return name === 'phoenix' ? phoenix(apiKey) : socketIo
}

export const SEQUENCE_DIGITS = 8

/** A message body of exactly `bytes` bytes that ends in its sequence number. */
export function messageBody(sequence: number, bytes: number): string {
  const [head, tail] = ['{"p":"', `","s":"${String(sequence).padStart(SEQUENCE_DIGITS, '0')}"}`]
  return head + 'x'.repeat(bytes - head.length - tail.length) + tail
}
