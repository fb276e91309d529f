import type { RelayMessage } from '@tidewire/server'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeEnvelope,
  encodeBatch,
  encodeBeat,
  encodedSize,
  encodeNodeMessage,
  encodeParts,
  BATCH_HEAD_BYTES,
  type Beat,
  type Envelope,
} from './envelope.ts'
import { Parts } from './parts.ts'

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31)
const from = 'abcdefghijk_'

const bytes = fc.uint8Array({ maxLength: 40 })
const event = fc.string({ unit: 'binary', maxLength: 20 })
const metadata = fc.option(fc.dictionary(fc.constantFrom('id', 'traceparent', 'é'), fc.string({ maxLength: 8 }), { noNullPrototype: true }))
const message: fc.Arbitrary<RelayMessage> = fc.oneof(
  fc.record({ kind: fc.constant('text' as const), event, payload: bytes }),
  fc.record(
    {
      kind: fc.constant('user' as const),
      broadcast: fc.record({ event, metadata, encoding: fc.constantFrom('json' as const, 'binary' as const), bytes }),
      asText: fc.constant(true),
    },
    { requiredKeys: ['kind', 'broadcast'] },
  ),
  fc.record({ kind: fc.constant('opaque' as const), event, bytes }),
)
const batch = fc.array(message, { minLength: 1, maxLength: 5 })
const one = { number: 1, previous: 0 }
/** What six bytes hold. */
const numbers = fc
  .tuple(fc.nat({ max: 2 ** 48 - 2 }), fc.nat({ max: 2 ** 48 - 2 }))
  .map(([a, b]) => ({ number: Math.max(a, b) + 1, previous: Math.min(a, b) }))

/** Byte arrays as numbers, so that a Buffer equals the array that it was made from. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, each: unknown) => (each instanceof Uint8Array ? [...each] : bufferAsNumbers(each))),
  ) as unknown
}

function bufferAsNumbers(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
    ? (value as unknown as { data: unknown }).data
    : value
}

function decoded(given: Uint8Array): Envelope {
  const result = decodeEnvelope(given)
  if (!result.ok) throw new Error(result.fault.detail)
  return result.value
}

describe(`an envelope (FC_SEED=${seed})`, () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(batch, numbers, (messages, given) => {
        const encoded = encodeBatch(from, given, messages)
        expect(encoded.length).toBe(messages.reduce((sum, each) => sum + encodedSize(each), BATCH_HEAD_BYTES))
        expect(plain(decoded(encoded))).toEqual(plain({ kind: 'batch', from, numbers: given, messages }))
      }),
      { seed, numRuns: 500 },
    )
    expect(plain(decoded(encodeNodeMessage(from, 'admin', Buffer.from('x'))))).toEqual({
      kind: 'node',
      from,
      channel: 'admin',
      bytes: [120],
    })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.nat())), fc.option(fc.nat({ max: 6 })), (sent, previous) => {
        const beat = { number: 7, previous, sent, state: 'leaving', name: 'ä', version: '1', startedAt: 5, spreadMs: 3_000 } as const
        expect(decoded(encodeBeat(from, beat))).toEqual({ kind: 'beat', from, beat })
      }),
      { seed },
    )
  })

  it('reads the beats of nodes that say no spread, or more than it knows', () => {
    const { spreadMs: _, ...old } = {
      number: 7,
      previous: null,
      sent: [],
      state: 'leaving',
      name: 'a',
      version: '1',
      startedAt: 5,
      spreadMs: 0,
    } as const
    expect(decoded(encodeBeat(from, old as unknown as Beat))).toEqual({ kind: 'beat', from, beat: { ...old, spreadMs: 0 } })
    expect(decoded(encodeBeat(from, { ...old, spreadMs: 9, later: 1 } as Beat))).toEqual({
      kind: 'beat',
      from,
      beat: { ...old, spreadMs: 9 },
    })
    for (const spreadMs of [-1, 0.5, '1', null])
      expect(decodeEnvelope(encodeBeat(from, { ...old, spreadMs } as unknown as Beat))).toMatchObject({
        ok: false,
        fault: { code: 'malformed' },
      })
  })

  it('names its sender, which differs from the one before in any byte', () => {
    const messages = [{ kind: 'text', event: 'e', payload: Buffer.from('{}') }] as const
    for (let at = 0; at < 9; at++) {
      for (const value of [0, 1, 255]) {
        const bytes = Buffer.alloc(9, 255)
        bytes[at] = value
        const sender = bytes.toString('base64url')
        expect(decoded(encodeBatch(sender, one, messages)).from).toBe(sender)
      }
    }
  })

  it('gives a fault for everything else, and never throws', () => {
    const never = (given: Uint8Array): void => {
      const result = decodeEnvelope(given)
      if (!result.ok) expect(['malformed', 'version']).toContain(result.fault.code)
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), never), { seed, numRuns: 1_000 })
    const headed = fc.tuple(fc.constantFrom(1, 2, 3, 4, 5), fc.uint8Array({ maxLength: 60 }))
    const build = ([kind, rest]: [number, Uint8Array]): Uint8Array => Buffer.concat([Buffer.from([0x54, 0x57, 1, kind]), rest])
    fc.assert(
      fc.property(headed, (given) => never(build(given))),
      { seed, numRuns: 2_000 },
    )
    fc.assert(
      fc.property(batch, fc.nat(), (messages, at) => {
        const encoded = encodeBatch(from, one, messages)
        // Cut off anywhere it is a fault, or the batch ends early between two messages.
        const result = decodeEnvelope(encoded.subarray(0, at % encoded.length))
        if (result.ok && result.value.kind === 'batch') expect(result.value.messages.length).toBeLessThan(messages.length)
      }),
      { seed, numRuns: 500 },
    )
  })

  it.each([
    ['no number', { number: 1.5 }],
    ['a number below zero', { number: -1, previous: null }],
    ['a beat before it that is later', { number: 3, previous: 3 }],
    ['a beat before it that is none', { previous: '2' }],
    ['topics that are no list', { sent: {} }],
    ['a topic without a number', { sent: [['public:a', 1], ['public:b']] }],
    ['a topic without a key', { sent: [[1, 1]] }],
    ['a topic with a number that is none', { sent: [['public:a', '1']] }],
  ])('is no beat with %s', (_, wrong) => {
    const beat = {
      number: 7,
      previous: 3,
      sent: [['public:a', 5]],
      state: 'up',
      name: 'a',
      version: '1',
      startedAt: 5,
      spreadMs: 0,
    } as const
    expect(decoded(encodeBeat(from, beat))).toMatchObject({ beat })
    expect(decodeEnvelope(encodeBeat(from, { ...beat, ...wrong } as unknown as Beat))).toMatchObject({ fault: { code: 'malformed' } })
  })

  it('is no batch whose number is not above the one before it', () => {
    for (const number of [0, 5]) {
      const encoded = encodeBatch(from, { number, previous: 5 }, [{ kind: 'text', event: 'e', payload: Buffer.from('{}') }])
      expect(decodeEnvelope(encoded)).toMatchObject({ fault: { code: 'malformed' } })
    }
  })

  it('takes a replacement character that was sent, and no bytes that would become one', () => {
    const valid = encodeBatch(from, one, [{ kind: 'text', event: '\ufffd', payload: Buffer.from('{}') }])
    expect(decoded(valid)).toMatchObject({ messages: [{ event: '\ufffd' }] })
    // The last of the three bytes of the character; the payload is two bytes long.
    valid[valid.length - 3] = 0x20
    expect(decodeEnvelope(valid)).toMatchObject({ ok: false, fault: { code: 'malformed', detail: 'an event is not UTF-8' } })
  })

  it('is whole again after it was sent in parts, however small', () => {
    fc.assert(
      fc.property(batch, fc.integer({ min: 22, max: 80 }), (messages, maxBytes) => {
        const parts = new Parts({ maxMessageBytes: 1e6, maxPendingBytes: 1e6, timeoutMs: 1_000 })
        const whole = encodeBatch(from, one, messages)
        const slices = encodeParts(from, 3, whole, maxBytes)
        for (const [at, slice] of slices.entries()) {
          expect(slice.length).toBeLessThanOrEqual(maxBytes)
          const envelope = decoded(slice)
          if (envelope.kind !== 'part') throw new Error(envelope.kind)
          const outcome = parts.add('key', envelope.part, 0)
          expect(outcome.lost).toBe(false)
          expect(outcome.whole === null).toBe(at < slices.length - 1)
          if (outcome.whole !== null) expect(Buffer.compare(outcome.whole, whole)).toBe(0)
        }
        expect(parts.pendingBytes).toBe(0)
      }),
      { seed, numRuns: 300 },
    )
  })
})

describe('parts', () => {
  const options = { maxMessageBytes: 100, maxPendingBytes: 1_500, timeoutMs: 1_000 }
  const part = (id: number, index: number, count: number, size = 10) => ({ id, index, count, bytes: new Uint8Array(size) })

  it.each([
    ['the first is missing', [part(1, 1, 3)]],
    ['one between is missing', [part(1, 0, 3), part(1, 2, 3)]],
    ['another message begins', [part(1, 0, 3), part(2, 0, 2)]],
    ['they are too large together', [part(1, 0, 3, 60), part(1, 1, 3, 60)]],
  ])('are lost where %s', (_, given) => {
    const parts = new Parts(options)
    const outcomes = given.map((each) => parts.add('key', each, 0))
    expect(outcomes.at(-1)).toMatchObject({ whole: null, lost: true })
  })

  it('of two senders do not disturb each other', () => {
    const parts = new Parts(options)
    expect(parts.add('a', part(1, 0, 2), 0)).toEqual({ whole: null, lost: false })
    expect(parts.add('b', part(1, 0, 2), 0)).toEqual({ whole: null, lost: false })
    expect(parts.add('a', part(1, 1, 2), 0).whole).toHaveLength(20)
    expect(parts.add('b', part(1, 1, 2), 0).whole).toHaveLength(20)
  })

  it('make room at once where they would take too much together, however small each is', () => {
    const parts = new Parts({ maxMessageBytes: 1e6, maxPendingBytes: 100_000, timeoutMs: 1_000 })
    for (let sender = 0; sender < 100; sender++) {
      for (let index = 0; index < 50; index++) parts.add(String(sender), part(1, index, 1_000, 1), 0)
      // What a slice takes is about half a kilobyte, whatever it holds.
      expect(parts.pendingBytes).toBeGreaterThan(50 * 500)
      expect(parts.pendingBytes).toBeLessThanOrEqual(100_000)
    }
    expect(parts.expire(0)).toBe(97)
    expect(parts.expire(1_000)).toBe(3)
    expect(parts.pendingBytes).toBe(0)
    expect(parts.add('a', part(1, 0, 1), 1_000).whole).toHaveLength(10)
  })

  it('are given up when they are old, or too many', () => {
    const parts = new Parts(options)
    for (const key of ['a', 'b', 'c']) parts.add(key, part(1, 0, 9, 60), 0)
    expect(parts.expire(0)).toBe(1)
    expect(parts.expire(999)).toBe(0)
    expect(parts.expire(1_000)).toBe(2)
    expect(parts.pendingBytes).toBe(0)
  })
})
