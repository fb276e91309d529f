import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { jsonText, name } from '../../test/arbitraries.ts'
import { binaryFrame, fromBase64, fromHex } from '../../test/frames.ts'
import { seeded } from '../../test/seeded.ts'
import {
  decodeBinaryFromClient,
  decodeBinaryFromServer,
  encodeBinaryBroadcast,
  encodeUserBroadcast,
  encodeUserBroadcastPush,
  fitsUserBroadcast,
} from './binary-serializer.ts'
import type { UserBroadcast } from '../payloads/broadcast.ts'
import { textBytes } from '../utf8.ts'

const bytes = fc.uint8Array({ maxLength: 40 })
const metadata = fc.option(fc.dictionary(fc.string({ maxLength: 4 }), fc.oneof(fc.string({ maxLength: 4 }), fc.boolean()), { maxKeys: 3 }))
const broadcast: fc.Arbitrary<UserBroadcast> = fc.oneof(
  fc.record({ event: name, metadata, encoding: fc.constant('binary' as const), bytes }),
  fc.record({ event: name, metadata, encoding: fc.constant('json' as const), bytes: jsonText.map(textBytes) }),
)
/** What metadata is after a way through JSON, where `__proto__` is an own key like any other. */
const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe('the layout', () => {
  test('kind 3, JSON', () => {
    const frame = fromHex('03 01 01 0a 02 00 01 31 32 72 65 61 6c 74 69 6d 65 3a 61 65 76 7b 22 78 22 3a 31 7d')
    const read = { event: 'ev', metadata: null, encoding: 'json', bytes: textBytes('{"x":1}') } as const
    expect(decodeBinaryFromClient(frame)).toStrictEqual({
      ok: true,
      value: { joinRef: '1', ref: '2', topic: 'realtime:a', event: 'broadcast', payload: { kind: 'user-broadcast', broadcast: read } },
    })
    expect(encodeUserBroadcastPush({ joinRef: '1', ref: '2', topic: 'realtime:a' }, read)).toStrictEqual(frame)
  })

  test('kind 4, binary with metadata', () => {
    const frame = fromHex('04 0a 02 0a 00 72 65 61 6c 74 69 6d 65 3a 61 65 76 7b 22 69 64 22 3a 22 75 22 7d ca fe')
    expect(decodeBinaryFromServer(frame)).toStrictEqual({
      ok: true,
      value: {
        joinRef: null,
        ref: null,
        topic: 'realtime:a',
        event: 'broadcast',
        payload: { type: 'broadcast', event: 'ev', payload: fromHex('ca fe').buffer, meta: { id: 'u' } },
      },
    })
    expect(
      encodeUserBroadcast('realtime:a', { event: 'ev', metadata: { id: 'u' }, encoding: 'binary', bytes: fromHex('ca fe') }),
    ).toStrictEqual(frame)
  })

  // Frames recorded from a Supabase Realtime 2.129.8 server: what a client pushed and what its receivers got.
  test.each([
    ['JSON', 'AwECDAcAATExMHJlYWx0aW1lOmJpbmpzb24tZXZ7ImEiOjF9', 'BAwHAAFyZWFsdGltZTpiaW5qc29uLWV2eyJhIjoxfQ==', '1', '10'],
    ['binary', 'AwECDAYAADExMXJlYWx0aW1lOmJpbmJpbi1ldgABAv8=', 'BAwGAAByZWFsdGltZTpiaW5iaW4tZXYAAQL/', '1', '11'],
    [
      'metadata, which receivers do not get',
      'AwECDAcJATExMnJlYWx0aW1lOmJpbm1ldGEtZXZ7ImsiOiJ2In17ImEiOjJ9',
      'BAwHAAFyZWFsdGltZTpiaW5tZXRhLWV2eyJhIjoyfQ==',
      '1',
      '12',
    ],
    ['no refs', 'AwAADAUAAXJlYWx0aW1lOmJpbm5vcmVmeyJhIjozfQ==', 'BAwFAAFyZWFsdGltZTpiaW5ub3JlZnsiYSI6M30=', null, ''],
    ['empty payload', 'AwECDAUAADExNHJlYWx0aW1lOmJpbmVtcHR5', 'BAwFAAByZWFsdGltZTpiaW5lbXB0eQ==', '1', '14'],
  ])('recorded: %s', (_, pushed, received, joinRef, ref) => {
    const frame = decodeBinaryFromClient(fromBase64(pushed))
    if (!frame.ok || frame.value.payload.kind !== 'user-broadcast') throw new Error('not a user broadcast')
    expect(frame.value).toMatchObject({ joinRef, ref, topic: 'realtime:bin', event: 'broadcast' })
    expect(encodeUserBroadcast('realtime:bin', { ...frame.value.payload.broadcast, metadata: null })).toStrictEqual(fromBase64(received))
  })

  test('recorded: a kind 0 broadcast comes out as kind 2', () => {
    const frame = decodeBinaryFromClient(fromBase64('AAECDAkxMTdyZWFsdGltZTpiaW5icm9hZGNhc3QBAgM='))
    if (!frame.ok || frame.value.payload.kind !== 'binary') throw new Error('not a binary push')
    expect(frame.value).toMatchObject({ joinRef: '1', ref: '17', topic: 'realtime:bin', event: 'broadcast' })
    expect(encodeBinaryBroadcast('realtime:bin', 'broadcast', frame.value.payload.bytes)).toStrictEqual(
      fromBase64('AgwJcmVhbHRpbWU6YmluYnJvYWRjYXN0AQID'),
    )
  })

  test('any encoding but 0 is JSON', () => {
    const frame = binaryFrame(3, ['1', '2', 't', 'e', ''], [7], textBytes('[]'))
    expect(decodeBinaryFromClient(frame)).toMatchObject({ ok: true, value: { payload: { broadcast: { encoding: 'json' } } } })
    expect(decodeBinaryFromServer(binaryFrame(4, ['t', 'e', ''], [7], textBytes('[]')))).toMatchObject({
      ok: true,
      value: { payload: { payload: [] } },
    })
  })

  test('metadata that is JSON but no object says nothing', () => {
    expect(decodeBinaryFromClient(binaryFrame(3, ['1', '2', 't', 'e', '5'], [0], new Uint8Array()))).toMatchObject({
      ok: true,
      value: { payload: { broadcast: { metadata: null } } },
    })
    const read = decodeBinaryFromServer(binaryFrame(4, ['t', 'e', '[1]'], [1], textBytes('1')))
    expect(read).toMatchObject({ ok: true, value: { payload: { type: 'broadcast', event: 'e', payload: 1 } } })
    expect(read.ok && read.value.payload).not.toHaveProperty('meta')
  })
})

describe('round trips', () => {
  test('kind 0 from a client', () => {
    fc.assert(
      fc.property(name, name, name, name, bytes, (joinRef, ref, topic, event, payload) => {
        expect(decodeBinaryFromClient(binaryFrame(0, [joinRef, ref, topic, event], [], payload))).toStrictEqual({
          ok: true,
          value: { joinRef: joinRef === '' ? null : joinRef, ref, topic, event, payload: { kind: 'binary', bytes: payload } },
        })
      }),
      seeded('kind 0 from a client', 500),
    )
  })

  test('kinds 0, 1 and 2 from a server', () => {
    fc.assert(
      fc.property(name, name, name, name, bytes, (joinRef, ref, topic, event, payload) => {
        const orNull = (text: string): string | null => (text === '' ? null : text)
        expect(decodeBinaryFromServer(binaryFrame(0, [joinRef, topic, event], [], payload))).toStrictEqual({
          ok: true,
          value: { joinRef: orNull(joinRef), ref: null, topic, event, payload: payload.slice().buffer },
        })
        expect(decodeBinaryFromServer(binaryFrame(1, [joinRef, ref, topic, event], [], payload))).toStrictEqual({
          ok: true,
          value: {
            joinRef: orNull(joinRef),
            ref: orNull(ref),
            topic,
            event: 'phx_reply',
            payload: { status: event, response: payload.slice().buffer },
          },
        })
        expect(encodeBinaryBroadcast(topic, event, payload)).toStrictEqual(binaryFrame(2, [topic, event], [], payload))
        expect(decodeBinaryFromServer(encodeBinaryBroadcast(topic, event, payload))).toStrictEqual({
          ok: true,
          value: { joinRef: null, ref: null, topic, event, payload: payload.slice().buffer },
        })
      }),
      seeded('kinds 0, 1, 2 from a server', 500),
    )
  })

  test('kind 3', () => {
    fc.assert(
      fc.property(name, name, name, broadcast, (joinRef, ref, topic, sent) => {
        const frame = encodeUserBroadcastPush({ joinRef, ref, topic }, sent)
        const names = [joinRef, ref, topic, sent.event, sent.metadata === null ? '' : JSON.stringify(sent.metadata)]
        expect(frame).toStrictEqual(binaryFrame(3, names, [sent.encoding === 'json' ? 1 : 0], sent.bytes))
        expect(decodeBinaryFromClient(frame)).toStrictEqual({
          ok: true,
          value: {
            joinRef: joinRef === '' ? null : joinRef,
            ref,
            topic,
            event: 'broadcast',
            payload: { kind: 'user-broadcast', broadcast: { ...sent, metadata: throughJson(sent.metadata) } },
          },
        })
      }),
      seeded('kind 3', 500),
    )
  })

  test('kind 4', () => {
    fc.assert(
      fc.property(name, broadcast, (topic, sent) => {
        const payload = sent.encoding === 'json' ? (JSON.parse(new TextDecoder().decode(sent.bytes)) as unknown) : sent.bytes.slice().buffer
        const meta = sent.metadata === null ? {} : { meta: throughJson(sent.metadata) }
        expect(decodeBinaryFromServer(encodeUserBroadcast(topic, sent))).toStrictEqual({
          ok: true,
          value: {
            joinRef: null,
            ref: null,
            topic,
            event: 'broadcast',
            payload: { type: 'broadcast', event: sent.event, payload, ...meta },
          },
        })
      }),
      seeded('kind 4', 500),
    )
  })

  test('number refs are written as text, null as nothing', () => {
    const sent = { event: 'e', metadata: null, encoding: 'binary', bytes: new Uint8Array() } as const
    expect(encodeUserBroadcastPush({ joinRef: 12, ref: null, topic: 't' }, sent)).toStrictEqual(
      binaryFrame(3, ['12', '', 't', 'e', ''], [0], sent.bytes),
    )
  })

  test('a payload that a receiver keeps is a buffer of its own, also when the frame is a window on a pool', () => {
    const pooled = Buffer.from(binaryFrame(4, ['t', 'e', ''], [0], Uint8Array.from([1, 2, 3])))
    const read = decodeBinaryFromServer(pooled)
    const payload = read.ok ? (read.value.payload as { payload: ArrayBuffer }).payload : undefined
    pooled.fill(0xff)
    expect(payload).toStrictEqual(Uint8Array.from([1, 2, 3]).buffer)
  })
})

describe('names', () => {
  const long = 'x'.repeat(255)
  const sent = (event: string): UserBroadcast => ({ event, metadata: null, encoding: 'json', bytes: textBytes('1') })

  test('of 255 bytes go through, in ASCII and beyond', () => {
    for (const topic of [long, `${'é'.repeat(127)}x`]) {
      expect(decodeBinaryFromServer(encodeUserBroadcast(topic, sent(long)))).toMatchObject({
        ok: true,
        value: { topic, payload: { event: long } },
      })
      expect(fitsUserBroadcast(topic, sent(long))).toBe(true)
    }
  })

  test.each([
    ['topic', () => encodeUserBroadcast(`${long}x`, sent('e'))],
    ['topic', () => encodeUserBroadcast('é'.repeat(128), sent('e'))],
    ['event', () => encodeUserBroadcast('t', sent(`${long}x`))],
    ['metadata', () => encodeUserBroadcast('t', { ...sent('e'), metadata: { id: long } })],
    ['join_ref', () => encodeUserBroadcastPush({ joinRef: `${long}x`, ref: '1', topic: 't' }, sent('e'))],
    ['ref', () => encodeUserBroadcastPush({ joinRef: '1', ref: `${long}x`, topic: 't' }, sent('e'))],
    ['topic', () => encodeBinaryBroadcast(`${long}x`, 'e', new Uint8Array())],
    ['event', () => encodeBinaryBroadcast('t', `${long}x`, new Uint8Array())],
  ])('of 256 bytes throw a RangeError that names the field: %s', (field, encode) => {
    expect(encode).toThrow(RangeError)
    expect(encode).toThrow(new RegExp(`^${field} is \\d+ bytes long`))
  })

  test.each([
    ['topic', () => fitsUserBroadcast(`${long}x`, sent('e'))],
    ['topic in UTF-8', () => fitsUserBroadcast('é'.repeat(128), sent('e'))],
    ['event', () => fitsUserBroadcast('t', sent(`${long}x`))],
    ['metadata', () => fitsUserBroadcast('t', { ...sent('e'), metadata: { id: long } })],
  ])('too long for a kind 4 frame: %s', (_, fits) => {
    expect(fits()).toBe(false)
  })

  test('a boundary through a character is a fault, not two half names', () => {
    const frame = binaryFrame(4, ['é', 'e', ''], [0], new Uint8Array())
    expect(decodeBinaryFromServer(frame)).toMatchObject({ ok: true })
    frame[1] = 1
    frame[2] = 2
    expect(decodeBinaryFromServer(frame)).toMatchObject({ ok: false, code: 'invalid-utf8' })
  })
})

describe('what is refused', () => {
  const envelope = { joinRef: '1', ref: '2', topic: 't', event: 'broadcast' }
  const pushed = (meta: string, encoding: number, payload: string): Uint8Array =>
    binaryFrame(3, ['1', '2', 't', 'e', meta], [encoding], textBytes(payload))

  test.each([
    ['an empty frame', fromHex(''), 'empty-frame'],
    ['an unknown kind', fromHex('09 01 01 01'), 'unknown-kind'],
    ['a kind that only servers send', fromBase64('BAwBAAFyZWFsdGltZTpiaW5le30='), 'unknown-kind'],
    ['sizes beyond the end', fromBase64('AwEByAEAATE='), 'truncated'],
    ['a name that is not UTF-8', fromHex('00 00 00 01 00 ff'), 'invalid-utf8'],
  ])('from a client: %s', (_, frame, code) => {
    const read = decodeBinaryFromClient(frame)
    expect(read).toMatchObject({ ok: false, code, detail: expect.any(String) })
    expect(read).not.toHaveProperty('envelope')
  })

  test.each([
    ['no JSON', pushed('', 1, '{not json'), 'malformed-payload'],
    ['nothing', pushed('', 1, ''), 'malformed-payload'],
    ['two values', pushed('', 1, '{}{}'), 'malformed-payload'],
    ['no UTF-8', Uint8Array.from([...pushed('', 1, '"'), 0xff, 0x22]), 'malformed-payload'],
    ['metadata that is no JSON', pushed('{', 0, ''), 'malformed-metadata'],
  ])('from a client, with the push it belongs to: %s', (_, frame, code) => {
    expect(decodeBinaryFromClient(frame)).toStrictEqual({ ok: false, code, detail: expect.any(String) as string, envelope })
  })

  test.each([
    ['an empty frame', fromHex(''), 'empty-frame'],
    ['an unknown kind', fromHex('05 01 01 01'), 'unknown-kind'],
    ['a kind that only clients send', pushed('', 1, '{}'), 'unknown-kind'],
    ['sizes beyond the end', fromHex('04 05 01 00 01 61'), 'truncated'],
    ['a name that is not UTF-8', fromHex('04 01 00 00 00 ff'), 'invalid-utf8'],
    ['a payload that is not JSON', binaryFrame(4, ['t', 'e', ''], [1], textBytes('{')), 'malformed-payload'],
    ['metadata that is not JSON', binaryFrame(4, ['t', 'e', '{'], [0], new Uint8Array()), 'malformed-metadata'],
  ])('from a server: %s', (_, frame, code) => {
    expect(decodeBinaryFromServer(frame)).toMatchObject({ ok: false, code, detail: expect.any(String) })
  })

  test.each([
    ['0 from a client', decodeBinaryFromClient, binaryFrame(0, ['1', '2', 'tö', 'e'], [], new Uint8Array())],
    ['3', decodeBinaryFromClient, binaryFrame(3, ['1', '2', 'tö', 'e', '{}'], [0], new Uint8Array())],
    ['0 from a server', decodeBinaryFromServer, binaryFrame(0, ['1', 'tö', 'e'], [], new Uint8Array())],
    ['1', decodeBinaryFromServer, binaryFrame(1, ['1', '2', 'tö', 'ok'], [], new Uint8Array())],
    ['2', decodeBinaryFromServer, binaryFrame(2, ['tö', 'e'], [], new Uint8Array())],
    ['4', decodeBinaryFromServer, binaryFrame(4, ['tö', 'e', '{}'], [0], new Uint8Array())],
  ])('a frame cut anywhere before its payload: kind %s', (_, decode, frame) => {
    expect(decode(frame)).toMatchObject({ ok: true })
    expect(decode(frame.subarray(0, 0))).toMatchObject({ code: 'empty-frame' })
    for (let length = 1; length < frame.length; length++)
      expect(decode(frame.subarray(0, length)), `${length} bytes`).toMatchObject({ ok: false, code: 'truncated' })
  })
})
