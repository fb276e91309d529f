import { allSteps } from '@tidewire/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  batchEntries,
  MAX_BATCH_VALUES,
  BatchReader,
  mediaType,
  singleFaults,
  singlePayload,
  type BatchEntries,
  type BroadcastMessage,
} from './broadcast-body.ts'

const JSON_TYPE = 'application/json'

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

function entries(body: string): Extract<BatchEntries, { kind: 'entries' }> {
  const found = allSteps(batchEntries(JSON_TYPE, Buffer.from(body)))
  if (found.kind !== 'entries') throw new Error(`no entries: ${JSON.stringify(found)}`)
  return found
}

function batchMessages({ entries: texts }: Extract<BatchEntries, { kind: 'entries' }>, maxPayloadBytes: number): BatchReader['batch'] {
  const reader = new BatchReader(maxPayloadBytes)
  for (const each of texts) reader.read(each)
  return reader.batch
}

function messages(body: string): readonly BroadcastMessage[] {
  const batch = batchMessages(entries(body), 1000)
  if (!batch.ok) throw new Error(JSON.stringify(batch.faults))
  return batch.messages
}

describe('mediaType', () => {
  test.each([
    [undefined, JSON_TYPE],
    ['', JSON_TYPE],
    ['application/json', JSON_TYPE],
    ['Application/JSON; charset=utf-8', JSON_TYPE],
    ['application/octet-stream', 'application/octet-stream'],
    ['text/plain;x=application/json', 'text/plain'],
  ])('%j → %s', (header, type) => {
    expect(mediaType(header)).toBe(type)
  })
})

describe('a batch', () => {
  test.each([
    ['', { kind: 'invalid', messages: ["can't be blank"] }],
    ['{}', { kind: 'invalid', messages: ["can't be blank"] }],
    ['[]', { kind: 'invalid', messages: ["can't be blank"] }],
    ['5', { kind: 'invalid', messages: ["can't be blank"] }],
    ['null', { kind: 'invalid', messages: ["can't be blank"] }],
    ['{"messages":null}', { kind: 'invalid', messages: ["can't be blank"] }],
    ['{"messages":[]}', { kind: 'invalid', messages: ["can't be blank"] }],
    ['{"messages":"x"}', { kind: 'invalid', messages: ['is invalid'] }],
    ['{"messages":{"0":{}}}', { kind: 'invalid', messages: ['is invalid'] }],
    ['{"messages":[5]}', { kind: 'invalid', messages: ['is invalid'] }],
    ['{"messages":[{},null]}', { kind: 'invalid', messages: ['is invalid'] }],
    ['{"messages":', { kind: 'not-json' }],
    ['\ufeff{}', { kind: 'not-json' }],
  ])('%j', (body, expected) => {
    expect(allSteps(batchEntries(JSON_TYPE, Buffer.from(body)))).toEqual(expected)
  })

  test('bytes that are not UTF-8 are no JSON', () => {
    expect(allSteps(batchEntries(JSON_TYPE, Buffer.from([0x22, 0xff, 0x22])))).toEqual({ kind: 'not-json' })
  })

  test('another type holds no entries', () => {
    expect(allSteps(batchEntries('text/plain', Buffer.from('{"messages":[{}]}')))).toEqual({
      kind: 'invalid',
      messages: ["can't be blank"],
    })
  })

  const blank = ["can't be blank"]
  const invalid = ['is invalid']
  test.each([
    ['{}', { event: blank, payload: blank, topic: blank }],
    ['{"topic":"t","event":"e"}', { payload: blank }],
    ['{"topic":"","event":" ","payload":{}}', { event: blank, topic: blank }],
    ['{"topic":null,"event":null,"payload":null}', { event: blank, payload: blank, topic: blank }],
    ['{"topic":5,"event":[],"payload":{}}', { event: invalid, topic: invalid }],
    ['{"topic":"t","event":"e","payload":"s"}', { payload: invalid }],
    ['{"topic":"t","event":"e","payload":[1]}', { payload: invalid }],
    ['{"topic":"t","event":"e","payload":{},"private":"yes"}', { private: invalid }],
    ['{"topic":"t","event":"e","payload":{},"id":5}', { id: invalid }],
    [`{"topic":"t","event":"e","payload":{"d":"${'x'.repeat(1000)}"}}`, { payload: ['Payload size exceeds tenant limit'] }],
    [`{"topic":"t","event":"${'x'.repeat(1000)}","payload":{}}`, { payload: ['Payload size exceeds tenant limit'] }],
  ])('%.80s', (entry, faults) => {
    const good = '{"topic":"t","event":"e","payload":{}}'
    expect(batchMessages(entries(`{"messages":[${good},${entry}]}`), 1000)).toEqual({ ok: false, faults: [{}, faults] })
  })

  test('the faults of a message come in alphabetical order', () => {
    const batch = batchMessages(entries('{"messages":[{}]}'), 1000)
    expect(JSON.stringify(batch)).toBe(
      `{"ok":false,"faults":[{"event":["can't be blank"],"payload":["can't be blank"],"topic":["can't be blank"]}]}`,
    )
  })

  test('every field, and what is not given', () => {
    const body = `{"messages":[
      {"topic":"a:b","event":"e","payload":{},"private":true,"id":"my-id","extra":1},
      {"private":"false","payload":{ "n": 12345678901234567890, "d":1.10 },"event":"f","topic":"t","id":null}
    ]}`
    const [first, second] = messages(body)
    expect(first).toEqual({
      subTopic: 'a:b',
      event: 'e',
      private: true,
      id: 'my-id',
      form: 'text',
      payload: { encoding: 'json', bytes: expect.any(Uint8Array) },
    })
    expect(second).toMatchObject({ private: false, form: 'text' })
    expect(second).not.toHaveProperty('id')
    expect(text(second!.payload.bytes)).toBe('{ "n": 12345678901234567890, "d":1.10 }')
  })

  test('keys written with escapes, keys twice, and keys of every object', () => {
    const [message] = messages(
      '{"messages":[],"mess\\u0061ges":[{"topic":"t","event":"e","payload":{"a":1},"p\\u0061yload":{"b":2},"__proto__":{"x":1}}]}',
    )
    expect(text(message!.payload.bytes)).toBe('{"b":2}')
  })

  test('property: the bytes of every payload are its JSON, however the body is written', () => {
    const space = fc.stringMatching(/^[ \n\r\t]{0,3}$/)
    const payload = fc.dictionary(fc.string(), fc.jsonValue())
    const body = fc.array(fc.record({ payload, before: fc.jsonValue(), between: space }), { minLength: 1, maxLength: 5 }).map((list) => {
      const written = list.map(({ payload, before, between }) => {
        const fields = [
          ['x]},"', before],
          ['payload', payload],
          ['topic', 't'],
          ['event', 'e\\"}'],
        ] as const
        return `${between}{${fields.map(([key, value]) => `${between}${JSON.stringify(key)}${between}:${between}${JSON.stringify(value)}`).join(`${between},`)}${between}}`
      })
      return { payloads: list.map(({ payload }) => payload), body: `{"first":"[{","messages":[${written.join(',')}],"last":[{}]}` }
    })
    fc.assert(
      fc.property(body, ({ payloads, body }) => {
        const batch = batchMessages(entries(body), Infinity)
        expect(batch.ok && batch.messages.map((message) => text(message.payload.bytes))).toEqual(
          payloads.map((payload) => JSON.stringify(payload)),
        )
      }),
    )
  })
})

describe('a single broadcast', () => {
  test.each([
    ['{"a":1.0}', '{"a":1.0}'],
    ['5', '{"_json":5}'],
    ['[1,2]', '{"_json":[1,2]}'],
    ['null', '{"_json":null}'],
    ['', '{}'],
  ])('JSON %j → %s', (body, payload) => {
    const result = allSteps(singlePayload(JSON_TYPE, Buffer.from(body)))
    expect(result?.encoding).toBe('json')
    expect(text(result!.bytes)).toBe(payload)
  })

  test('no JSON', () => {
    expect(allSteps(singlePayload(JSON_TYPE, Buffer.from('{')))).toBeNull()
  })

  test('bytes as they are', () => {
    expect(allSteps(singlePayload('application/octet-stream', Buffer.from([0, 255])))).toEqual({
      encoding: 'binary',
      bytes: Buffer.from([0, 255]),
    })
  })

  test.each([
    ['t', 'e', {}],
    [' ', 'e', { topic: ["can't be blank"] }],
    ['t', '', { event: ["can't be blank"] }],
    ['t'.repeat(246), 'e'.repeat(255), {}],
    ['t'.repeat(247), 'e'.repeat(256), { event: ['is over 255 bytes'], topic: ['is over 255 bytes'] }],
    ['é'.repeat(124), 'e', { topic: ['is over 255 bytes'] }],
  ])('names %.20s and %.20s', (topic, event, faults) => {
    expect(singleFaults(`realtime:${topic}`, topic, event)).toEqual(faults)
  })
})

describe('what costs more than its bytes (rules L9, L10)', () => {
  const batch = (values: number): Buffer => {
    // `messages`, its one element, the three fields of that, and the list count too.
    const list = Array.from({ length: values - 6 }, () => 1)
    return Buffer.from(JSON.stringify({ messages: [{ topic: 'a', event: 'e', payload: { list } }] }))
  }

  test('keys and elements of a batch: one below, at it, one above', () => {
    const kinds = [MAX_BATCH_VALUES - 1, MAX_BATCH_VALUES, MAX_BATCH_VALUES + 1].map(
      (values) => allSteps(batchEntries('application/json', batch(values))).kind,
    )
    expect(kinds).toEqual(['entries', 'entries', 'invalid'])
  })

  test('depth, of a batch and of one message', () => {
    const nested = (depth: number): string => '{"a":'.repeat(depth) + '0' + '}'.repeat(depth)
    const kind = (depth: number): string =>
      allSteps(batchEntries('application/json', Buffer.from(`{"messages":[${nested(depth - 2)}]}`))).kind
    expect([511, 512, 513].map(kind)).toEqual(['entries', 'entries', 'invalid'])
    const isTaken = (depth: number): boolean => allSteps(singlePayload('application/json', Buffer.from(nested(depth)))) !== null
    expect([511, 512, 513].map(isTaken)).toEqual([true, true, false])
  })

  test('one message of any number of elements is forwarded as it came', () => {
    const list = JSON.stringify(Array.from({ length: 200_000 }, () => 1))
    expect(Buffer.from(allSteps(singlePayload('application/json', Buffer.from(` {"list":${list}}`)))!.bytes).toString()).toBe(
      ` {"list":${list}}`,
    )
    expect(Buffer.from(allSteps(singlePayload('application/json', Buffer.from(list)))!.bytes).toString()).toBe(`{"_json":${list}}`)
  })
})
