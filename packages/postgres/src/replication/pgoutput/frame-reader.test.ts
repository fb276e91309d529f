import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameReader } from './frame-reader.ts'

function frame(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function readAll(reader: FrameReader, into: string[]): string {
  return reader.read((type, buffer, start, end) => into.push(String.fromCharCode(type) + buffer.toString('latin1', start, end)) > 0)
}

const bodies = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 })

test('messages come out whole and in order, wherever the stream was split', () => {
  fc.assert(
    fc.property(bodies, fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 30 }), (contents, cuts) => {
      const stream = Buffer.concat(contents.map((body) => frame('d', Buffer.from(body))))
      const reader = new FrameReader()
      const seen: string[] = []
      const bounds = [0, ...cuts.map((cut) => Math.min(cut, stream.length)).sort((a, b) => a - b), stream.length]
      for (let index = 1; index < bounds.length; index++) {
        reader.push(stream.subarray(bounds[index - 1], bounds[index]))
        expect(readAll(reader, seen)).toBe('drained')
      }
      expect(seen).toEqual(contents.map((body) => `d${Buffer.from(body).toString('latin1')}`))
      expect(reader.pendingBytes).toBe(0)
    }),
  )
})

test('split at every single byte', () => {
  const stream = Buffer.concat([frame('W', Buffer.from([0, 0, 0])), frame('d', Buffer.from('hello')), frame('d', Buffer.alloc(0))])
  const reader = new FrameReader()
  const seen: string[] = []
  for (const byte of stream) {
    reader.push(Buffer.from([byte]))
    readAll(reader, seen)
  }
  expect(seen).toEqual(['W\0\0\0', 'dhello', 'd'])
})

test('a message that lies whole in a chunk is not copied', () => {
  const chunk = frame('d', Buffer.from('abc'))
  const reader = new FrameReader()
  reader.push(chunk)
  reader.read((_type, buffer) => {
    expect(buffer).toBe(chunk)
    return true
  })
})

test('a message of many chunks is put together once', () => {
  const body = Buffer.alloc(8 * 1024 * 1024, 'x')
  const stream = frame('d', body)
  const reader = new FrameReader()
  let seen = 0
  for (let at = 0; at < stream.length; at += 1024) {
    reader.push(stream.subarray(at, at + 1024))
    reader.read((_type, buffer, start, end) => {
      seen++
      expect(buffer.subarray(start, end).equals(body)).toBe(true)
      return true
    })
  }
  expect(seen).toBe(1)
})

test('a handler may stop after its message; the next read goes on from there', () => {
  const reader = new FrameReader()
  reader.push(Buffer.concat([frame('d', Buffer.from('1')), frame('d', Buffer.from('2')), frame('d', Buffer.from('3'))]))
  const seen: string[] = []
  const one = (_type: number, buffer: Buffer, start: number, end: number): boolean => {
    seen.push(buffer.toString('latin1', start, end))
    return false
  }
  expect(reader.read(one)).toBe('stopped')
  expect(seen).toEqual(['1'])
  reader.read(one)
  reader.read(one)
  expect(seen).toEqual(['1', '2', '3'])
  expect(reader.pendingBytes).toBe(0)
  expect(reader.read(one)).toBe('drained')
})

test('a length that cannot be is refused', () => {
  const reader = new FrameReader()
  reader.push(Buffer.from([0x64, 0, 0, 0, 3, 1]))
  expect(reader.read(() => true)).toBe('malformed')
})
