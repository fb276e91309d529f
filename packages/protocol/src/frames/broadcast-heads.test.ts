import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BroadcastHeads } from './broadcast-heads.ts'
import { decodeServerFrame } from './serializer.ts'
import type { Message } from '../message.ts'

/** As a client reads: by a known head, else as a whole. */
function reader(): (text: string) => { readonly message: Message | undefined; readonly known: boolean } {
  const heads = new BroadcastHeads()
  return (text) => {
    const known = heads.read(text)
    if (known !== undefined) return { message: known, known: true }
    const whole = decodeServerFrame('2.0.0', text)
    if (whole.ok) heads.learn(text, whole.value)
    return { message: whole.ok ? whole.value : undefined, known: false }
  }
}

function whole(text: string): Message | undefined {
  const decoded = decodeServerFrame('2.0.0', text)
  return decoded.ok ? decoded.value : undefined
}

const move = (payload: string, topic = 'realtime:room'): string =>
  `[null,null,${JSON.stringify(topic)},"broadcast",{"event":"move","payload":${payload},"type":"broadcast"}]`

test.each([
  ['as Supabase orders keys', (payload: string) => move(payload)],
  [
    'as realtime-js does',
    (payload: string) => `[null,null,"realtime:room","broadcast",{"type":"broadcast","event":"move","payload":${payload}}]`,
  ],
  ['payload first', (payload: string) => `["1","2","t","broadcast",{"payload":${payload},"event":"move","type":"broadcast","n":1}]`],
  ['names with escapes', (payload: string) => move(payload, 'realtime:"quoted\\\n"')],
  ['a key called __proto__', (payload: string) => `[null,null,"t","broadcast",{"__proto__":1,"event":"e","payload":${payload}}]`],
])('the second frame of a stream is known: %s', (_, frame) => {
  const read = reader()
  expect(read(frame('{"x":1}')).known).toBe(false)
  for (const payload of ['{"x":2,"__proto__":{"y":"\\"}"}}', '[]', '"}]"', ' null ', '-0', '{"payload":[1]}']) {
    const { message, known } = read(frame(payload))
    expect(known).toBe(true)
    expect(message).toStrictEqual(whole(frame(payload)))
    expect(JSON.stringify(message)).toBe(JSON.stringify(whole(frame(payload))))
  }
})

test.each([
  ['a second payload', move('1,"payload":2')],
  ['more keys after the payload', move('1,"meta":{"id":"a"}')],
  ['an element after the message', `${move('1').slice(0, -1)},1]`],
  ['nothing for a payload', move('')],
  ['a payload cut off', move('{"x":')],
  ['a frame cut off', move('{"x":1}').slice(0, -1)],
  ['only a start', move('').slice(0, move('').indexOf('payload') + 9)],
  ['the word at the end for a payload', '[null,null,"realtime:room","broadcast",{"event":"move","payload":"broadcast"}]'],
  ['another event', move('1').replace('move', 'mova')],
  ['space between tokens', move('1').replace(',"type"', ', "type"')],
])('read as a whole: %s', (_, frame) => {
  const read = reader()
  read(move('1'))
  expect(read(move('2')).known).toBe(true)
  expect(read(frame)).toStrictEqual({ message: whole(frame), known: false })
})

test('messages share no object that a receiver could write to', () => {
  const read = reader()
  const texts = ['{"x":1}', '{"x":2}', '{"x":3}'].map((payload) => move(payload))
  const [first, second] = texts.map((text) => read(text).message) as { payload: { payload: { x: number }; event: string } }[]
  first!.payload.event = second!.payload.event = 'changed'
  second!.payload.payload.x = 5
  expect(read(texts[2]!).message).toStrictEqual(whole(texts[2]!))
  const withObject = (n: number): string => `[null,null,"t","broadcast",{"event":"e","meta":{"id":"a"},"payload":${n}}]`
  const other = reader()
  other(withObject(1))
  expect(other(withObject(2))).toStrictEqual({ message: whole(withObject(2)), known: false })
})

test('four streams are known, the last ones; what misleads is forgotten; what is of no use is not kept', () => {
  const heads = new BroadcastHeads()
  const learn = (text: string): void => {
    // Only every 32nd unknown frame is looked at.
    for (let times = 0; times < 32; times++) heads.learn(text, whole(text)!)
  }
  const isKnown = (text: string): boolean => heads.read(text) !== undefined
  const frames = Array.from({ length: 6 }, (_, index) => move('1', `realtime:${index}`))
  frames.forEach(learn)
  expect(frames.map(isKnown)).toEqual([false, false, true, true, true, true])
  // The one that was read last stays longest.
  isKnown(frames[2]!)
  for (const index of [0, 1, 3]) learn(frames[index]!.replace('move', 'other'))
  frames.forEach((frame) => learn(frame.replace(',"type"', ', "type"')))
  expect(isKnown(frames[2]!)).toBe(true)
  expect(isKnown(frames[2]!.replace('1,"type"', '1,"n":2,"type"'))).toBe(false)
  expect(isKnown(frames[2]!)).toBe(false)
  const long = move('1', 'x'.repeat(1024))
  learn(long)
  expect(isKnown(long)).toBe(false)
})

test('whatever comes is read as the whole parse reads it', () => {
  const text = fc.oneof(
    fc.constantFrom('', '"', '\\', '}]', ',"type":"broadcast"}]', '"payload":', '__proto__', 'é', '\0payload\0'),
    fc.string(),
  )
  const value = fc.oneof(fc.jsonValue(), text, fc.dictionary(text, fc.jsonValue(), { maxKeys: 3 }))
  /** A key with what is written for it. */
  const member = (key: string, values: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
    values.map((each) => `${JSON.stringify(key)}:${JSON.stringify(each)}`)
  const frame = fc
    .record({
      envelope: fc.constantFrom(
        '[null,null,"t","broadcast",',
        '["1",null,"t","broadcast",',
        '[null,null,"\\u0074","broadcast",',
        '[ null,null,"t","broadcast",',
      ),
      members: fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }),
      parts: fc.tuple(
        member('event', fc.constantFrom('e', 'f')),
        member('type', fc.constant('broadcast')),
        member('payload', value),
        member('payload', value),
        member('__proto__', fc.constantFrom(1, null)),
        member('meta', fc.constantFrom(null, { id: 'a' })),
        member('event', fc.constant('e')),
      ),
      space: fc.constantFrom('', '', ' '),
      end: fc.constantFrom('}]', '}]', '}]', '},1]', '}', ']'),
    })
    .map(({ envelope, members, parts, space, end }) => `${envelope}{${members.map((index) => parts[index]).join(`,${space}`)}${end}`)
  /** The same message again with another payload, as streams have it, and cut somewhere. */
  const stream = fc.tuple(frame, fc.array(value, { maxLength: 3 }), fc.nat(200)).map(([first, payloads, cut]) => {
    const at = first.indexOf('"payload":')
    const again = payloads.map((payload) =>
      first.replace(/"payload":(?:[^,{}[\]"\\]+|"[^"\\]*")/, () => `"payload":${JSON.stringify(payload)}`),
    )
    return [first, ...(at < 0 ? [] : again), first.slice(0, cut)]
  })
  let known = 0
  fc.assert(
    fc.property(fc.array(stream, { minLength: 1, maxLength: 6 }), (streams) => {
      const heads = new BroadcastHeads()
      for (const text of streams.flat()) {
        const expected = whole(text)
        const found = heads.read(text)
        if (found !== undefined) {
          known++
          expect(found).toStrictEqual(expected)
          expect(JSON.stringify(found)).toBe(JSON.stringify(expected))
        }
        if (expected !== undefined) heads.learn(text, expected)
      }
    }),
    { numRuns: 3000 },
  )
  expect(known).toBeGreaterThan(200)
})
