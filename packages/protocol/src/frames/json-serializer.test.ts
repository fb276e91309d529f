import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { jsonText, name, ref, spaced } from '../../test/arbitraries.ts'
import { seeded } from '../../test/seeded.ts'
import type { ClientFrame } from './client-frame.ts'
import type { Decoded } from './decode.ts'
import { decodeTextFromClient, decodeTextMessage, encodeTextMessage, envelopeAround } from './json-serializer.ts'
import type { Message } from '../message.ts'
import type { Version } from './version.ts'
import { textBytes } from '../utf8.ts'
import { MAX_FRAME_PARTS, MAX_NESTING } from './frame-bounds.ts'

const VERSIONS: readonly Version[] = ['1.0.0', '2.0.0']
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const message: fc.Arbitrary<Message> = fc.record({ joinRef: ref, ref, topic: name, event: name, payload: fc.jsonValue() })

function payloadOf(frame: Decoded<ClientFrame>): { readonly text: string; readonly value: unknown } {
  if (!frame.ok) throw new Error(`not a frame: ${frame.detail}`)
  const { payload } = frame.value
  if (payload.kind !== 'json' && payload.kind !== 'json-text') throw new Error(`not a JSON frame: ${payload.kind}`)
  const text = textOf((payload as { readonly bytes: Uint8Array }).bytes)
  return { text, value: payload.kind === 'json' ? payload.value : (JSON.parse(text) as unknown) }
}

describe('what is written', () => {
  const reply: Message = { joinRef: '1', ref: '2', topic: 'realtime:a', event: 'phx_reply', payload: { status: 'ok', response: {} } }

  test('by a server under 1.0.0: four keys in the order of the reference, no join_ref', () => {
    expect(encodeTextMessage('1.0.0', reply)).toBe(
      '{"ref":"2","event":"phx_reply","payload":{"status":"ok","response":{}},"topic":"realtime:a"}',
    )
  })

  test('by a client under 1.0.0: join_ref comes along', () => {
    expect(JSON.parse(encodeTextMessage('1.0.0', reply, true))).toEqual({
      topic: 'realtime:a',
      event: 'phx_reply',
      payload: { status: 'ok', response: {} },
      ref: '2',
      join_ref: '1',
    })
  })

  test('under 2.0.0: an array of five', () => {
    expect(encodeTextMessage('2.0.0', reply)).toBe('["1","2","realtime:a","phx_reply",{"status":"ok","response":{}}]')
  })

  test.each(VERSIONS)('an absent payload is written as {} under %s, for a frame without one is refused', (version) => {
    const text = encodeTextMessage(version, { ...reply, payload: undefined }, true)
    expect(decodeTextMessage(version, text)).toMatchObject({ ok: true, value: { payload: {} } })
  })

  test.each(VERSIONS)('the envelope around a payload is the message to all receivers under %s', (version) => {
    fc.assert(
      fc.property(name, name, fc.jsonValue(), ref, (topic, event, payload, joinRef) => {
        const { head, tail } = envelopeAround(version, topic, event)
        expect(head + JSON.stringify(payload) + tail).toBe(encodeTextMessage(version, { joinRef: null, ref: null, topic, event, payload }))
        const own = envelopeAround(version, topic, event, joinRef)
        expect(own.head + JSON.stringify(payload) + own.tail).toBe(
          encodeTextMessage(version, { joinRef, ref: null, topic, event, payload }),
        )
      }),
      seeded(`envelope ${version}`, 300),
    )
  })
})

describe('what is read back', () => {
  test.each(VERSIONS)('everything that a client writes under %s', (version) => {
    fc.assert(
      fc.property(message, (written) => {
        const text = encodeTextMessage(version, written, true)
        const plain = { ...written, payload: JSON.parse(JSON.stringify(written.payload)) as unknown }
        expect(decodeTextMessage(version, text)).toEqual({ ok: true, value: plain })
        const { payload, ...envelope } = plain
        const frame = decodeTextFromClient(version, textBytes(text))
        expect(frame).toMatchObject({ ok: true, value: envelope })
        expect(payloadOf(frame)).toEqual({ text: JSON.stringify(payload), value: payload })
      }),
      seeded(`round trip ${version}`, 1000),
    )
  })

  test('under 2.0.0 the payload is forwarded as it was written, however the frame around it was', () => {
    const refText = fc.constantFrom('null', '"1"', '""', '12', String.raw`"\u0031"`)
    const nameText = name.chain((text) => fc.constantFrom(JSON.stringify(text), JSON.stringify(text).replaceAll('o', String.raw`\u006f`)))
    fc.assert(
      fc.property(
        spaced(refText),
        spaced(refText),
        spaced(nameText),
        spaced(nameText),
        jsonText,
        spaced(fc.constant('')),
        fc.array(jsonText, { maxLength: 2 }),
        (joinRef, pushRef, topic, event, payload, space, extra) => {
          const frame = `${space}[${[joinRef, pushRef, topic, event, space + payload + space, ...extra].join(',')}]${space}`
          const read = decodeTextFromClient('2.0.0', textBytes(frame))
          const values = JSON.parse(frame) as unknown[]
          expect(payloadOf(read)).toEqual({ text: payload, value: values[4] })
          expect(read).toMatchObject({ ok: true, value: { joinRef: values[0], ref: values[1], topic: values[2], event: values[3] } })
        },
      ),
      seeded('verbatim 2.0.0', 1000),
    )
  })

  test('under 1.0.0 as well; of a repeated key the last one counts', () => {
    const other = fc
      .tuple(
        spaced(fc.constantFrom('"payload"', String.raw`"p\u0061yload"`, '"payloads"', '"data"', '"ключ"', String.raw`"a\"payload"`)),
        spaced(jsonText),
      )
      .map(([key, text]) => `${key}:${text}`)
    const members = fc
      .tuple(fc.array(other, { maxLength: 3 }), fc.array(other, { maxLength: 3 }))
      .chain(([before, after]) =>
        fc
          .shuffledSubarray(['"topic":"t"', '"event" : "e"', '"ref":null', '"payload":{}', ...after], { minLength: 4 + after.length })
          .map((rest) => [...before, ...rest]),
      )
    fc.assert(
      fc.property(members, jsonText, fc.boolean(), (list, payload, escaped) => {
        const frame = `{${[...list, `${escaped ? String.raw`"\u0070ayload"` : '"payload"'}: ${payload} `].join(',')}}`
        expect(payloadOf(decodeTextFromClient('1.0.0', textBytes(frame)))).toEqual({
          text: payload,
          value: (JSON.parse(frame) as { payload: unknown }).payload,
        })
      }),
      seeded('verbatim 1.0.0', 1000),
    )
  })

  test.each([
    ['2.0.0', '["1","2","t","broadcast",{"n":12345678901234567890.000,"z":1,"a":1e400}]', '{"n":12345678901234567890.000,"z":1,"a":1e400}'],
    ['2.0.0', '["1","2","t","broadcast",{"a":1,"a":2}]', '{"a":1,"a":2}'],
    ['2.0.0', String.raw`["1","2","t","broadcast","\ud800"]`, String.raw`"\ud800"`],
    ['2.0.0', '["1","2","t","broadcast","]"]', '"]"'],
    ['2.0.0', '[null,null,"t","broadcast",-0]', '-0'],
    ['1.0.0', '{"topic":"t","event":"e","ref":"1","payload":{"n":12345678901234567890.000}}', '{"n":12345678901234567890.000}'],
    ['1.0.0', '{"payload":1,"topic":"t","event":"e","ref":"1","payload":2.0}', '2.0'],
    ['1.0.0', '{"x":{"payload":1},"payload":null,"topic":"t","event":"e","ref":"1"}', 'null'],
  ] as const)('digits, order and escapes stay: %s %s', (version, frame, payload) => {
    expect(payloadOf(decodeTextFromClient(version, textBytes(frame))).text).toBe(payload)
  })

  test('a ref keeps its type; extra keys and elements are ignored', () => {
    expect(decodeTextMessage('2.0.0', '[3,4,"t","e",{},"more"]')).toEqual({
      ok: true,
      value: { joinRef: 3, ref: 4, topic: 't', event: 'e', payload: {} },
    })
    expect(decodeTextMessage('1.0.0', '{"topic":"t","event":"e","payload":{},"ref":7,"extra":1}')).toEqual({
      ok: true,
      value: { joinRef: null, ref: 7, topic: 't', event: 'e', payload: {} },
    })
  })
})

describe('what is refused', () => {
  const json = 'malformed-json'
  const shape = 'wrong-shape'

  test.each([
    ['1.0.0', '', json],
    ['1.0.0', 'not json', json],
    ['1.0.0', '{', json],
    ['1.0.0', '\ufeff{"topic":"t","event":"e","payload":{},"ref":"1"}', json],
    ['1.0.0', '{}', shape],
    ['1.0.0', '[]', shape],
    ['1.0.0', 'null', shape],
    ['1.0.0', '5', shape],
    ['1.0.0', '"str"', shape],
    ['1.0.0', '{"topic":"phoenix","event":"heartbeat"}', shape],
    ['1.0.0', '{"topic":"phoenix","event":"heartbeat","payload":{}}', shape],
    ['1.0.0', '{"event":"heartbeat","payload":{},"ref":"1"}', shape],
    ['1.0.0', '{"topic":5,"event":"phx_join","payload":{},"ref":"1"}', shape],
    ['1.0.0', '{"topic":"t","event":null,"payload":{},"ref":"1"}', shape],
    ['1.0.0', '{"topic":"t","event":"e","payload":{},"ref":{}}', shape],
    ['1.0.0', '{"topic":"t","event":"e","payload":{},"ref":"1","join_ref":[]}', shape],
    ['1.0.0', '["1","1","t","e",{}]', shape],
    ['1.0.0', '{"__proto__":{"topic":"t","event":"e","payload":{},"ref":"1"}}', shape],
    ['2.0.0', '{"topic":"t","event":"e","payload":{},"ref":"1"}', shape],
    ['2.0.0', '[null,"1","phoenix","heartbeat"]', shape],
    ['2.0.0', '["1","1",5,"phx_join",{}]', shape],
    ['2.0.0', '["1",true,"t","e",{}]', shape],
    ['2.0.0', '["1",1e400,"t","e",{}]', shape],
    ['2.0.0', '["1","1","t",null,{}]', shape],
    ['2.0.0', '["1","1","t","e",]', json],
    ['2.0.0', '["1","1","t","e",{},]', json],
    ['2.0.0', "['1','1','t','e',{}]", json],
    ['2.0.0', '["1","1","t","e",{}] x', json],
    ['2.0.0', String.raw`["1","1","realtime:\ud800","e",{}]`, shape],
    ['2.0.0', String.raw`["1","1","t","\udc00",{}]`, shape],
  ] as const)('%s %s', (version, text, code) => {
    const asText = decodeTextMessage(version, text)
    const asBytes = decodeTextFromClient(version, textBytes(text))
    expect(asText).toMatchObject({ ok: false, code, detail: expect.any(String) })
    expect(asBytes).toEqual(asText)
    expect(asText).not.toHaveProperty('envelope')
  })

  test.each([
    ['a lone continuation byte', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an encoded surrogate', [0xed, 0xa0, 0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
  ])('bytes that are not UTF-8: %s', (_, bytes) => {
    const frame = Uint8Array.from([...textBytes('["1","1","t","e","'), ...bytes, ...textBytes('"]')])
    expect(decodeTextFromClient('2.0.0', frame)).toMatchObject({ ok: false, code: 'invalid-utf8' })
  })

  test.each([
    ['2.0.0', (payload: string, event: string) => `["1","2","t","${event}",${payload}]`],
    ['1.0.0', (payload: string, event: string) => `{"payload":${payload},"topic":"t","event":"${event}","ref":"2","join_ref":"1"}`],
  ] as const)('payloads nested too deep (rule L9): %s', (version, frame) => {
    const nested = (depth: number): string => '{"a":'.repeat(depth) + '0' + '}'.repeat(depth)
    const decode = (depth: number, event: string): Decoded<ClientFrame> =>
      decodeTextFromClient(version, textBytes(frame(nested(depth), event)))
    for (const event of ['presence', 'phx_join', 'broadcast', 'anything']) {
      expect(decode(MAX_NESTING - 1, event)).toMatchObject({ ok: true })
      expect(decode(MAX_NESTING, event)).toMatchObject({ ok: true })
      expect(decode(MAX_NESTING + 1, event)).toEqual({
        ok: false,
        code: 'too-deep',
        detail: 'the payload is nested more than 512 levels deep',
        envelope: { joinRef: '1', ref: '2', topic: 't', event },
      })
      expect(decode(100_000, event)).toMatchObject({ ok: false, code: 'too-deep' })
    }
  })
})

describe('bounds', () => {
  const frameOf = (event: string, payload: string): Uint8Array => textBytes(`["1","2","t","${event}",${payload}]`)
  const elements = (count: number): string => `[${Array.from({ length: count }, () => 1).join(',')}]`
  const list = (count: number, part: (at: number) => string): string => Array.from({ length: count }, (_, at) => part(at)).join('')
  const bounds = { maxPayloadValues: 600, maxPresenceValues: 20 }

  test.each([
    ['phx_join', 600],
    ['access_token', 600],
    ['admin_why', 600],
    ['presence', 20],
  ])('keys and elements of a payload that is read (rule L10): %s', (event, most) => {
    for (const count of [most - 1, most])
      expect(decodeTextFromClient('2.0.0', frameOf(event, elements(count)), bounds)).toMatchObject({ ok: true })
    expect(decodeTextFromClient('2.0.0', frameOf(event, elements(most + 1)), bounds)).toEqual({
      ok: false,
      code: 'too-many-values',
      detail: `the payload holds more than ${most} keys and elements`,
      envelope: { joinRef: '1', ref: '2', topic: 't', event },
    })
  })

  test('a payload that is only forwarded may hold any number of them, and is not parsed', () => {
    const payload = `{"event":"e","payload":${elements(100_000)}}`
    const frame = decodeTextFromClient('2.0.0', frameOf('broadcast', payload), bounds)
    expect(frame).toMatchObject({ ok: true, value: { payload: { kind: 'json-text' } } })
    expect(frame.ok && textOf((frame.value.payload as { bytes: Uint8Array }).bytes)).toBe(payload)
  })

  test.each([
    ['2.0.0', (more: number) => `["1","2","t","e",{}${',1'.repeat(more)}]`, 5],
    ['1.0.0', (more: number) => `{"topic":"t","event":"e","ref":"2","payload":{}${list(more, (at) => `,"k${at}":1`)}}`, 4],
  ] as const)('keys and elements of a frame itself, those that are ignored included (rule L10): %s', (version, frame, own) => {
    for (const padding of [0, 33_000]) {
      const decode = (parts: number): Decoded<ClientFrame> =>
        decodeTextFromClient(version, textBytes(frame(parts - own) + ' '.repeat(padding)))
      for (const parts of [own, MAX_FRAME_PARTS - 1, MAX_FRAME_PARTS])
        expect(decode(parts)).toMatchObject({ ok: true, value: { topic: 't' } })
      expect(decode(MAX_FRAME_PARTS + 1)).toEqual({
        ok: false,
        code: 'too-many-values',
        detail: 'the frame itself holds more than 64 keys and elements',
      })
    }
  })

  test.each([
    ['topic', 4_096, (name: string) => [null, '2', name, 'e', {}]],
    ['event', 255, (name: string) => [null, '2', 't', name, {}]],
    ['ref', 255, (name: string) => [null, name, 't', 'e', {}]],
    ['join_ref', 255, (name: string) => [name, '2', 't', 'e', {}]],
  ] as const)('names (rule L11): %s', (part, most, message) => {
    for (const letter of ['a', 'é', '€']) {
      const name = (bytes: number): string =>
        letter.repeat(Math.floor(bytes / textBytes(letter).length)) + 'x'.repeat(bytes % textBytes(letter).length)
      const decode = (bytes: number): Decoded<ClientFrame> => decodeTextFromClient('2.0.0', textBytes(JSON.stringify(message(name(bytes)))))
      expect(decode(most - 1)).toMatchObject({ ok: true })
      expect(decode(most)).toMatchObject({ ok: true })
      const over = decode(most + 1)
      expect(over).toMatchObject({ ok: false, code: 'name-too-long' })
      // Only a push whose ref is good can be answered on it.
      expect('envelope' in over).toBe(part === 'topic' || part === 'event')
      expect(decode(1_000_000)).toMatchObject({ ok: false, code: 'name-too-long' })
    }
  })

  test('property: a large frame says what a small one does', () => {
    const part = fc.oneof(ref, name, fc.jsonValue({ maxDepth: 1 }))
    const array = fc.array(part, { minLength: 3, maxLength: 7 })
    const object = fc.dictionary(fc.constantFrom('join_ref', 'ref', 'topic', 'event', 'payload', 'more'), part)
    fc.assert(
      fc.property(fc.constantFrom(...VERSIONS), fc.oneof(array, object, fc.jsonValue()), (version, value) => {
        const small = decodeTextFromClient(version, textBytes(JSON.stringify(value)))
        const large = decodeTextFromClient(version, textBytes(JSON.stringify(value) + ' '.repeat(33_000)))
        const plain = (frame: Decoded<ClientFrame>): unknown =>
          frame.ok ? { ...frame.value, payload: textOf((frame.value.payload as { bytes: Uint8Array }).bytes) } : frame
        expect(plain(large)).toEqual(plain(small))
      }),
      seeded('large frames', 2_000),
    )
  })
})
