import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameReader } from './frame-reader.ts'

function frame(payload: Buffer, opcode = 1): Buffer {
  const head = payload.length < 126 ? Buffer.from([0x80 | opcode, payload.length]) : Buffer.from([0x80 | opcode, 126, 0, 0])
  if (head.length === 4) head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head, payload])
}

const delivery = (sequence: number): Buffer => frame(Buffer.from(`${'x'.repeat(180)}${String(sequence).padStart(8, '0')}"}]`))

function reading(chunks: readonly Buffer[]): { readonly sequences: number[]; readonly texts: string[]; readonly codes: number[] } {
  const [sequences, texts, codes]: [number[], string[], number[]] = [[], [], []]
  const reader = new FrameReader(191, 3, {
    delivered: (sequence) => sequences.push(sequence),
    text: (text) => texts.push(text),
    closed: (code) => codes.push(code),
  })
  // One buffer for all, as sockets share theirs.
  const shared = Buffer.alloc(4096)
  for (const chunk of chunks) {
    chunk.copy(shared)
    reader.read(shared, chunk.length, 0)
  }
  return { sequences, texts, codes }
}

const stream = Buffer.concat([
  frame(Buffer.from('["1","1"]')),
  delivery(1),
  delivery(2),
  frame(Buffer.from('z'.repeat(190))),
  delivery(12345678),
  frame(Buffer.from([0x03, 0xe9]), 8),
])
const all = { sequences: [1, 2, 12345678], texts: ['["1","1"]', 'z'.repeat(190)], codes: [1001] }

test('finds deliveries by their length, and reads their number', () => expect(reading([stream])).toEqual(all))

test('split at every byte', () => {
  for (let at = 1; at < stream.length; at++) expect(reading([stream.subarray(0, at), stream.subarray(at)])).toEqual(all)
})

test('split anyhow', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: stream.length - 1 }), { maxLength: 30 }), (cuts) => {
      const edges = [0, ...cuts.toSorted((a, b) => a - b), stream.length]
      expect(reading(edges.slice(1).map((end, index) => stream.subarray(edges[index], end)))).toEqual(all)
    }),
  )
})
