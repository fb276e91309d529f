import { closeSync, existsSync, openSync, readFileSync, rmSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LineWriter, lineWriterTo, type WriteBytes } from './line-writer.ts'

type Done = Parameters<WriteBytes>[2]

/** A descriptor whose writes end when the test says so. */
function slow(): { writer: LineWriter; text: () => string; finish: (error?: string, most?: number) => void; waiting: () => boolean } {
  let text = ''
  let waiting: { readonly bytes: Uint8Array; readonly from: number; readonly done: Done } | null = null
  const writer = new LineWriter((bytes, from, done) => (waiting = { bytes, from, done }))
  return {
    writer,
    text: () => text,
    waiting: () => waiting !== null,
    finish: (error, most = Infinity) => {
      const { bytes, from, done } = waiting!
      waiting = null
      if (error !== undefined) return done(Object.assign(new Error(error), { code: error }), 0)
      const taken = bytes.subarray(from, from + most)
      text += Buffer.from(taken).toString('latin1')
      done(null, taken.length)
    },
  }
}

test('lines arrive in order, those that came meanwhile at once', () => {
  const { writer, text, finish, waiting } = slow()
  for (const line of ['a\n', 'b\n', 'c\n']) writer.write(line)
  finish()
  expect(text()).toBe('a\n')
  finish()
  expect(text()).toBe('a\nb\nc\n')
  expect(waiting()).toBe(false)
})

test('a write that takes only a part goes on after it', () => {
  const { writer, text, finish } = slow()
  writer.write('abcdef\n')
  finish(undefined, 2)
  finish(undefined, 3)
  finish()
  expect(text()).toBe('abcdef\n')
})

test('a write that fails costs its lines only', () => {
  const { writer, text, finish } = slow()
  writer.write('a\n')
  finish('ENOSPC')
  writer.write('b\n')
  finish('EPIPE')
  writer.write('c\n')
  finish()
  expect(text()).toBe('c\n')
})

test('a descriptor that is busy is tried again', async () => {
  const { writer, text, finish, waiting } = slow()
  writer.write('a\n')
  finish('EAGAIN')
  expect(waiting()).toBe(false)
  while (!waiting()) await new Promise((resolve) => setImmediate(resolve))
  finish()
  expect(text()).toBe('a\n')
})

test('what waits for a stuck reader is bounded', () => {
  const { writer, text, finish } = slow()
  const line = `${'x'.repeat(999)}\n`
  for (let i = 0; i < 10_000; i++) writer.write(line)
  finish()
  finish()
  expect(text().length).toBeLessThanOrEqual(1_000 + 1_048_576)
  expect(text().length).toBeGreaterThan(1_000_000)
})

test('flush waits for what is pending, and not for ever', async () => {
  const { writer, finish } = slow()
  await writer.flush(10_000)
  writer.write('a\n')
  await writer.flush(1)
  let flushed = false
  const done = writer.flush(10_000).then(() => (flushed = true))
  writer.write('b\n')
  finish()
  await Promise.resolve()
  expect(flushed).toBe(false)
  finish()
  await done
  expect(flushed).toBe(true)
})

test('a file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lines-'))
  const descriptor = openSync(join(folder, 'log'), 'w')
  try {
    const writer = lineWriterTo(descriptor)
    for (let i = 0; i < 1_000; i++) writer.write(`${i}\n`)
    await writer.flush(10_000)
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe(Array.from({ length: 1_000 }, (_, i) => `${i}\n`).join(''))
  } finally {
    closeSync(descriptor)
    rmSync(folder, { recursive: true })
  }
})

test.skipIf(!existsSync('/dev/full'))('a full disk', async () => {
  const descriptor = openSync('/dev/full', 'w')
  try {
    const writer = lineWriterTo(descriptor)
    for (let i = 0; i < 100; i++) writer.write(`${i}\n`)
    const started = performance.now()
    await writer.flush(10_000)
    expect(performance.now() - started).toBeLessThan(5_000)
  } finally {
    closeSync(descriptor)
  }
})
