import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { binaryFrame } from '../../test/frames.ts'
import type { Message } from '../message.ts'
import { decodeClientFrame, decodeServerFrame, encodeClientMessage } from './serializer.ts'
import { textBytes } from '../utf8.ts'

const broadcast = (payload: unknown): Message => ({
  joinRef: '1',
  ref: '2',
  topic: 'realtime:a',
  event: 'broadcast',
  payload: { type: 'broadcast', event: 'move', payload },
})

/** The user's part of a kind 3 frame. */
function pushed(message: Message): { readonly encoding: string; readonly text: string; readonly bytes: Uint8Array } {
  const frame = encodeClientMessage('2.0.0', message)
  const read = typeof frame === 'string' ? undefined : decodeClientFrame('2.0.0', frame, true)
  if (!read?.ok || read.value.payload.kind !== 'user-broadcast') throw new Error(`not a user broadcast: ${String(frame)}`)
  const { encoding, bytes } = read.value.payload.broadcast
  return { encoding, bytes, text: new TextDecoder().decode(bytes) }
}

describe('encodeClientMessage', () => {
  test('under 2.0.0 broadcasts are binary frames, all else is text', () => {
    expect(encodeClientMessage('2.0.0', broadcast({ x: 1 }))).toEqual(
      binaryFrame(3, ['1', '2', 'realtime:a', 'move', ''], [1], textBytes('{"x":1}')),
    )
    expect(encodeClientMessage('2.0.0', { joinRef: null, ref: '3', topic: 'phoenix', event: 'heartbeat', payload: {} })).toBe(
      '[null,"3","phoenix","heartbeat",{}]',
    )
  })

  test('what is for the server travels as metadata, nothing else beside the payload does', () => {
    const payload = { type: 'broadcast', event: 'e', payload: 1, persist: true, idempotency_key: 'k', other: 'x' }
    expect(encodeClientMessage('2.0.0', { ...broadcast({}), payload })).toEqual(
      binaryFrame(3, ['1', '2', 'realtime:a', 'e', '{"persist":true,"idempotency_key":"k"}'], [1], textBytes('1')),
    )
  })

  test('under 1.0.0 everything is text', () => {
    expect(JSON.parse(encodeClientMessage('1.0.0', broadcast({ x: 1 })) as string)).toEqual({
      topic: 'realtime:a',
      event: 'broadcast',
      payload: { type: 'broadcast', event: 'move', payload: { x: 1 } },
      ref: '2',
      join_ref: '1',
    })
  })

  test('a broadcast without an event name stays text, for a binary frame could not say so', () => {
    const message = { ...broadcast({}), payload: { type: 'broadcast' } }
    expect(encodeClientMessage('2.0.0', message)).toBe('["1","2","realtime:a","broadcast",{"type":"broadcast"}]')
  })

  test.each([
    ['null', null, 'null'],
    ['an array', [1, 2], '[1,2]'],
    ['a string', 'é', '"é"'],
    ['nothing', undefined, '{}'],
    ['a function', () => 1, '{}'],
  ])('payloads of every kind are JSON: %s', (_, payload, text) => {
    expect(pushed(broadcast(payload))).toMatchObject({ encoding: 'json', text })
  })

  const buffer = Uint8Array.from([9, 1, 2, 3, 9]).buffer

  test.each([
    ['an ArrayBuffer', Uint8Array.from([1, 2, 3]).buffer],
    ['a window on one', new Uint8Array(buffer, 1, 3)],
    ['a DataView', new DataView(buffer, 1, 3)],
    ["Node's Buffer", Buffer.from([1, 2, 3])],
    ['a buffer of another realm', runInNewContext('Uint8Array.from([1, 2, 3]).buffer') as ArrayBuffer],
    ['a typed array of another realm', runInNewContext('Uint8Array.from([1, 2, 3])') as Uint8Array],
  ])('bytes go as bytes: %s', (_, payload) => {
    expect(pushed(broadcast(payload))).toMatchObject({ encoding: 'binary', bytes: Uint8Array.from([1, 2, 3]) })
  })

  test('wider typed arrays go as the bytes they lie on', () => {
    expect(pushed(broadcast(new Uint16Array([1, 256]))).bytes).toEqual(new Uint8Array(new Uint16Array([1, 256]).buffer))
  })

  test('what cannot be written throws', () => {
    const cyclic: Record<string, unknown> = {}
    cyclic['self'] = cyclic
    for (const version of ['1.0.0', '2.0.0'] as const) {
      expect(() => encodeClientMessage(version, broadcast(cyclic))).toThrow(TypeError)
      expect(() => encodeClientMessage(version, broadcast({ n: 1n }))).toThrow(TypeError)
    }
    for (const topic of ['x'.repeat(256), 'é'.repeat(128)])
      expect(() => encodeClientMessage('2.0.0', { ...broadcast(new Uint8Array(1)), topic })).toThrow(RangeError)
  })

  test.each([
    ['topic', (name: string) => ({ ...broadcast({ x: 1 }), topic: name })],
    ['event', (name: string) => ({ ...broadcast({}), payload: { type: 'broadcast', event: name, payload: { x: 1 } } })],
  ])('JSON under a %s that no binary frame takes goes as text (rule N5)', (_, message) => {
    expect(encodeClientMessage('2.0.0', message('x'.repeat(255)))).toBeInstanceOf(Uint8Array)
    const long = message('x'.repeat(256))
    expect(encodeClientMessage('2.0.0', long)).toBe(JSON.stringify([long.joinRef, long.ref, long.topic, long.event, long.payload]))
    expect(encodeClientMessage('1.0.0', long)).toContain('x'.repeat(256))
  })
})

describe('decodeClientFrame', () => {
  test('text by version, binary only under 2.0.0', () => {
    expect(decodeClientFrame('2.0.0', textBytes('["1","2","t","e",{}]'), false)).toMatchObject({ ok: true, value: { topic: 't' } })
    expect(decodeClientFrame('1.0.0', textBytes('{"topic":"t","event":"e","payload":{},"ref":"1"}'), false)).toMatchObject({ ok: true })
    expect(decodeClientFrame('2.0.0', binaryFrame(0, ['', '2', 't', 'e'], [], new Uint8Array()), true)).toMatchObject({ ok: true })
    expect(decodeClientFrame('1.0.0', binaryFrame(0, ['', '2', 't', 'e'], [], new Uint8Array()), true)).toMatchObject({
      ok: false,
      code: 'binary-not-supported',
    })
  })
})

describe('decodeServerFrame', () => {
  test('a string is text, bytes are binary', () => {
    expect(decodeServerFrame('2.0.0', '[null,null,"t","e",{}]')).toMatchObject({ ok: true, value: { topic: 't' } })
    expect(decodeServerFrame('1.0.0', '{"ref":null,"event":"e","payload":{},"topic":"t"}')).toMatchObject({
      ok: true,
      value: { joinRef: null },
    })
    expect(decodeServerFrame('2.0.0', binaryFrame(2, ['t', 'e'], [], new Uint8Array()))).toMatchObject({ ok: true, value: { topic: 't' } })
  })

  test('a JSON broadcast is the same message as text and as a binary frame', () => {
    const text = '[null,null,"t","broadcast",{"type":"broadcast","event":"e","payload":{"x":1},"meta":{"id":"u"}}]'
    const binary = binaryFrame(4, ['t', 'e', '{"id":"u"}'], [1], textBytes('{"x":1}'))
    expect(decodeServerFrame('2.0.0', binary)).toEqual(decodeServerFrame('2.0.0', text))
  })
})
