import type { RelayFaultCode } from '@tidewire/server'
import { textMessage } from '@tidewire/testkit'
import { describe, expect, it } from 'vitest'
import { decodeEnvelope, encodeBatch, type Envelope } from './envelope.ts'
import type { Link } from './link.ts'
import { Numbers, type SentTopic } from './numbers.ts'
import { MAX_MESSAGE_BYTES, Outbox } from './outbox.ts'

const from = 'abcdefghijk_'
const LIMIT = 200

/** An outbox on a link whose outcomes the test decides. */
function opened(outcome: (sent: number) => 'sent' | 'unsent' | 'overflow' = () => 'sent', maxPayloadBytes: number | null = LIMIT) {
  const envelopes: Envelope[] = []
  const sizes: number[] = []
  const faults: [code: RelayFaultCode, detail: string][] = []
  const link: Pick<Link, 'session' | 'state' | 'publish'> = {
    session: maxPayloadBytes === null ? null : ({ maxPayloadBytes } as Link['session']),
    state: maxPayloadBytes === null ? { state: 'down', sinceUptimeMs: 0, detail: 'the broker is away' } : { state: 'up', sinceUptimeMs: 0 },
    publish: (_subject, bytes) => {
      const result = outcome(envelopes.length)
      if (result !== 'sent') return result
      const decoded = decodeEnvelope(bytes)
      if (!decoded.ok) throw new Error(decoded.fault.detail)
      envelopes.push(decoded.value)
      sizes.push(bytes.length)
      return 'sent'
    },
  }
  const numbers = new Numbers()
  const outbox = new Outbox(from, link, numbers, (code, detail) => faults.push([code, detail]))
  return { outbox, numbers, topic: { subject: 's', number: 0 } as SentTopic, envelopes, sizes, faults }
}

const textsOf = (envelopes: readonly Envelope[]): string[][] =>
  envelopes.map((envelope) =>
    envelope.kind === 'batch'
      ? envelope.messages.map((each) => (each.kind === 'text' ? Buffer.from(each.payload).toString() : each.kind))
      : [],
  )

describe('an outbox', () => {
  it('sends messages that fit together in one envelope, and counts them', () => {
    const { outbox, topic, envelopes, sizes } = opened()
    const messages = ['a', 'b', 'c'].map(textMessage)
    expect(outbox.publish(topic, messages)).toBe(true)
    expect(textsOf(envelopes)).toEqual([['a', 'b', 'c']])
    expect(outbox.sent).toEqual({ messages: 3, bytes: sizes[0] })
  })

  it('fills envelopes up to the limit of the broker, and no further', () => {
    const messages = Array.from({ length: 9 }, (_, n) => textMessage(`${n}`.repeat(20)))
    const three = encodeBatch(from, { number: 1, previous: 0 }, messages.slice(0, 3)).length
    for (const [limit, lengths] of [
      [three, [3, 3, 3]],
      [three - 1, [2, 2, 2, 2, 1]],
    ] as const) {
      const { outbox, topic, envelopes, sizes } = opened(undefined, limit)
      expect(outbox.publish(topic, messages)).toBe(true)
      expect(textsOf(envelopes).map(({ length }) => length)).toEqual(lengths)
      expect(textsOf(envelopes).flat()).toEqual(messages.map((_, n) => `${n}`.repeat(20)))
      expect(Math.max(...sizes)).toBeLessThanOrEqual(limit)
      expect(outbox.sent.messages).toBe(9)
    }
  })

  it('sends a message over the limit in parts, each message under another id', () => {
    const { outbox, topic, envelopes, sizes } = opened()
    const large = textMessage('x'.repeat(480))
    expect(outbox.publish(topic, [textMessage('before'), large, large, textMessage('after')])).toBe(true)
    expect(envelopes.map(({ kind }) => kind)).toEqual(['batch', ...Array<string>(6).fill('part'), 'batch'])
    expect(envelopes.flatMap((each) => (each.kind === 'part' ? [each.part.id] : []))).toEqual([1, 1, 1, 2, 2, 2])
    expect(Math.max(...sizes)).toBeLessThanOrEqual(LIMIT)
    expect(outbox.sent.bytes).toBe(sizes.reduce((sum, size) => sum + size, 0))
  })

  it('numbers envelopes in one count of all topics, a message in parts once, and says which came before on the topic', () => {
    const { outbox, topic, envelopes } = opened()
    const other: SentTopic = { subject: 't', number: 0 }
    const small = [textMessage('a')]
    outbox.publish(topic, small)
    outbox.publish(other, small)
    outbox.publish(topic, [textMessage('x'.repeat(480)), textMessage('after')])
    outbox.publish(other, small)
    expect(envelopes.flatMap((each) => (each.kind === 'batch' ? [[each.numbers.previous, each.numbers.number]] : []))).toEqual([
      [0, 1],
      [0, 2],
      [3, 4],
      [2, 5],
    ])
    expect([topic.number, other.number]).toEqual([4, 5])
  })

  it('sends nothing while there is no session, and counts it as sent', () => {
    const { outbox, topic, faults } = opened(undefined, null)
    expect(outbox.publish(topic, [textMessage('a')])).toBe(false)
    expect(faults).toEqual([['unsent', 'Messages were not sent to other nodes: the broker is away']])
    expect(topic.number).toBe(1)
    expect(outbox.send('s', 'admin', Buffer.from('x'))).toBe(false)
  })

  it('knows no subject: unsent, too', () => {
    const { outbox, topic, faults } = opened()
    topic.subject = null
    expect(outbox.publish(topic, [textMessage('a')])).toBe(false)
    expect(faults).toEqual([['unsent', 'Messages were not sent to other nodes: not connected']])
  })

  it('says when the broker confirms too little, and sends no part after one that was not sent', () => {
    const { outbox, topic, envelopes, faults } = opened((sent) => (sent < 1 ? 'sent' : 'overflow'))
    expect(outbox.publish(topic, [textMessage('x'.repeat(500))])).toBe(false)
    expect(envelopes).toHaveLength(1)
    expect(faults).toEqual([['overflow', 'Messages were not sent to other nodes: the broker confirms too little of what it was sent']])
  })

  it('takes a message of the largest size, and no larger one', () => {
    const overhead = encodeBatch(from, { number: 1, previous: 0 }, [textMessage('')]).length
    const { outbox, topic, faults } = opened(() => 'sent', 2 * MAX_MESSAGE_BYTES)
    expect(MAX_MESSAGE_BYTES).toBe(67_108_864)
    expect(outbox.publish(topic, [textMessage('x'.repeat(MAX_MESSAGE_BYTES - overhead))])).toBe(true)
    const parts = opened(() => 'overflow', 1_000_000)
    expect(parts.outbox.publish(topic, [textMessage('x'.repeat(MAX_MESSAGE_BYTES - overhead + 1))])).toBe(false)
    expect(parts.faults).toEqual([['overflow', 'Messages were not sent to other nodes: one is larger than 67108864 bytes']])
    expect(faults).toEqual([])
  })
})
