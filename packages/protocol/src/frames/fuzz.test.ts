import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonText } from '../../test/arbitraries.ts'
import { binaryFrame } from '../../test/frames.ts'
import { seeded } from '../../test/seeded.ts'
import { decodeBinaryFromClient, decodeBinaryFromServer } from './binary-serializer.ts'
import type { Decoded } from './decode.ts'
import { decodeTextFromClient, decodeTextMessage } from './json-serializer.ts'
import type { Version } from './version.ts'
import { textBytes } from '../utf8.ts'

const INPUTS_PER_RUN = 100
const RUNS = 1000

/** A small generator (mulberry32): one number from fast-check makes a hundred inputs, or the run would take minutes. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Bytes that mean something to a decoder, and so hurt more than others. */
const SHARP = [0x00, 0xff, 0x22, 0x5c, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d, 0x3a, 0x80, 0xc3, 0xed, 0x01, 0x04]

/** A frame with one to four bytes changed, left out or put in, or cut short; one in ten is nothing but noise. */
function mutated(frame: Uint8Array, random: (below: number) => number): Uint8Array {
  if (random(10) === 0) return new Uint8Array(Array.from({ length: random(40) }, () => (random(2) === 0 ? random(6) : random(256))))
  const bytes = [...frame]
  for (let change = random(4); change >= 0; change--) {
    const at = random(bytes.length + 1)
    const byte = random(2) === 0 ? SHARP[random(SHARP.length)]! : random(256)
    switch (random(5)) {
      case 0:
        bytes.splice(at, 1 + random(3))
        break
      case 1:
        bytes.splice(at, 0, byte)
        break
      case 2:
        bytes.splice(at, 0, ...bytes.slice(at, at + random(20)))
        break
      case 3:
        if (random(4) === 0) bytes.length = at
        break
      default:
        bytes[at] = byte
    }
  }
  return new Uint8Array(bytes)
}

/** What holds of every answer: it is read or it is a named fault. */
function checked<T extends { readonly topic: string; readonly event: string }>(read: Decoded<T>): T | undefined {
  if (read.ok) {
    if (typeof read.value.topic !== 'string' || typeof read.value.event !== 'string') throw new Error('no topic or no event')
    return read.value
  }
  if (!/^[a-z8-]+$/.test(read.code) || read.detail === '') throw new Error(`a fault without a name: ${JSON.stringify(read)}`)
  return undefined
}

/** A frame that was read from bytes holds only what stands in them; JSON in it is JSON. */
function checkedFromClient(read: ReturnType<typeof decodeTextFromClient>, data: Uint8Array): void {
  const payload = checked(read)?.payload
  if (payload === undefined) return
  const bytes = payload.kind === 'user-broadcast' ? payload.broadcast.bytes : payload.bytes
  if (bytes.buffer !== data.buffer) throw new Error('the payload is not a window on the frame')
  if (payload.kind !== 'json' && !(payload.kind === 'user-broadcast' && payload.broadcast.encoding === 'json')) return
  const value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)) as unknown
  if (payload.kind === 'json' && JSON.stringify(value) !== JSON.stringify(payload.value)) throw new Error('bytes and value differ')
}

interface Input {
  readonly version: Version
  readonly frame: Uint8Array
}

const text: fc.Arbitrary<Input> = fc.tuple(fc.constantFrom<Version>('1.0.0', '2.0.0'), jsonText).map(([version, payload]) => ({
  version,
  frame: textBytes(
    version === '2.0.0'
      ? `["1","2","realtime:a","presence",${payload}]`
      : `{"topic":"realtime:a","event":"presence","ref":"1","join_ref":null,"payload":${payload}}`,
  ),
}))
const names = fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }), { minLength: 5, maxLength: 5 })
const fromClient = fc
  .tuple(fc.constantFrom(0, 3), names, fc.constantFrom('', '{"id":"u"}'), fc.nat(1), jsonText)
  .map(([kind, list, metadata, encoding, payload]) =>
    kind === 0
      ? binaryFrame(0, list.slice(0, 4), [], textBytes(payload))
      : binaryFrame(3, [...list.slice(0, 4), metadata], [encoding], textBytes(payload)),
  )
const fromServer = fc
  .tuple(fc.constantFrom(0, 1, 2, 4), names, fc.constantFrom('', '{"id":"u"}'), fc.nat(1), jsonText)
  .map(([kind, list, metadata, encoding, payload]) =>
    kind === 4
      ? binaryFrame(4, [...list.slice(0, 2), metadata], [encoding], textBytes(payload))
      : binaryFrame(kind, list.slice(0, [3, 4, 2][kind]), [], textBytes(payload)),
  )

const loose = new TextDecoder()

// Most inputs end in a SyntaxError that a decoder catches: without their stack traces the run takes half the time.
const traced = Error.stackTraceLimit
beforeAll(() => {
  Error.stackTraceLimit = 0
})
afterAll(() => {
  Error.stackTraceLimit = traced
})

const binary = (frames: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Input> => frames.map((frame) => ({ version: '2.0.0', frame }))

describe('no input makes a decoder throw', () => {
  test.each<[string, fc.Arbitrary<Input>, (data: Uint8Array, version: Version) => void]>([
    ['text from a client', text, (data, version) => checkedFromClient(decodeTextFromClient(version, data), data)],
    ['binary from a client', binary(fromClient), (data) => checkedFromClient(decodeBinaryFromClient(data), data)],
    ['text from a server', text, (data, version) => checked(decodeTextMessage(version, loose.decode(data)))],
    ['binary from a server', binary(fromServer), (data) => checked(decodeBinaryFromServer(data))],
  ])('%s', (label, valid, decode) => {
    let inputs = 0
    fc.assert(
      fc.property(valid, fc.integer(), ({ version, frame }, seed) => {
        const random = randomFrom(seed)
        for (let input = 0; input < INPUTS_PER_RUN; input++) {
          inputs++
          decode(mutated(frame, random), version)
        }
      }),
      seeded(label, RUNS),
    )
    expect(inputs).toBeGreaterThanOrEqual(100_000)
  })

  test.each<[string, fc.Arbitrary<Input>, (data: Uint8Array, version: Version) => Decoded<unknown>]>([
    ['text from a client', text, (data, version) => decodeTextFromClient(version, data)],
    ['binary from a client', binary(fromClient), decodeBinaryFromClient],
    ['text from a server', text, (data, version) => decodeTextMessage(version, loose.decode(data))],
    ['binary from a server', binary(fromServer), decodeBinaryFromServer],
  ])('nor does any valid frame that is cut at any byte: %s', (label, valid, decode) => {
    fc.assert(
      fc.property(valid, ({ version, frame }) => {
        expect(decode(frame, version)).toMatchObject({ ok: true })
        for (let length = 0; length < frame.length; length++) {
          const cut = decode(frame.subarray(0, length), version)
          // The end of a binary payload is the end of its frame, so that only text shows every cut.
          if (cut.ok && label.startsWith('text')) throw new Error(`read as whole: ${length} of ${frame.length} bytes`)
        }
      }),
      seeded(`cuts, ${label}`, 200),
    )
  })
})
