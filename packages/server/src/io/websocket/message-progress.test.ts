import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MessageProgress } from './message-progress.ts'

function frame(opcode: number, fin: boolean, size: number, masked = true): Buffer {
  const head = [(fin ? 0x80 : 0) | opcode, (masked ? 0x80 : 0) | (size < 126 ? size : size < 65_536 ? 126 : 127)]
  const length = Buffer.alloc(size < 126 ? 0 : size < 65_536 ? 2 : 8)
  if (length.length === 2) length.writeUInt16BE(size)
  else if (length.length === 8) length.writeBigUInt64BE(BigInt(size))
  return Buffer.concat([Buffer.from(head), length, Buffer.alloc(masked ? 4 : 0), Buffer.alloc(size, 0xff)])
}

function unfinished(...chunks: readonly Uint8Array[]): number {
  const progress = new MessageProgress()
  for (const chunk of chunks) progress.read(chunk)
  return progress.unfinishedBytes
}

describe('MessageProgress', () => {
  test.each([0, 1, 125, 126, 65_535, 65_536])('a message of %i bytes: to its last byte but one, and to its end', (size) => {
    const whole = frame(1, true, size)
    expect(unfinished(whole.subarray(0, -1))).toBe(whole.length - 1)
    expect(unfinished(whole)).toBe(0)
    expect(unfinished(whole, frame(2, true, 10).subarray(0, 3))).toBe(3)
  })

  test('a message in parts ends with its last part; a ping between them does not end it', () => {
    const parts = [frame(1, false, 10), frame(0, false, 10), frame(9, true, 4)]
    expect(unfinished(...parts)).toBe(16 + 16 + 10)
    expect(unfinished(...parts, frame(0, true, 10))).toBe(0)
    expect(unfinished(frame(9, true, 4))).toBe(0)
  })

  test('property: however the bytes are cut', () => {
    const message = fc.array(fc.constantFrom(0, 1, 3, 125, 126, 200, 65_536), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.array(message, { maxLength: 3 }), fc.array(fc.nat(), { maxLength: 8 }), fc.nat(3), (messages, cuts, rest) => {
        const frames = messages.flatMap((sizes) => sizes.map((size, at) => frame(at === 0 ? 1 : 0, at === sizes.length - 1, size)))
        const bytes = Buffer.concat([...frames, frame(2, true, 9).subarray(0, rest)])
        const at = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b)
        expect(unfinished(...at.map((to, index) => bytes.subarray(at[index - 1] ?? 0, to)))).toBe(rest)
      }),
      { numRuns: 300 },
    )
  })
})
