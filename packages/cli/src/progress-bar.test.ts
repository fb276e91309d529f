import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { progressBar, progressText, withProgress } from './progress-bar.ts'

function drawnOn(stream: { isTTY?: boolean; columns?: number }) {
  const clock = { now: 0 }
  const written: string[] = []
  const bar = progressBar({ stream: { ...stream, write: (text) => written.push(text) }, label: 'Sending', now: () => clock.now })
  return { bar, clock, written }
}

test('what is over within two seconds is not shown', () => {
  const { bar, clock, written } = drawnOn({ isTTY: true })
  bar.update(0.1)
  clock.now = 1_999
  bar.update(0.9)
  bar.end()
  expect(written).toEqual([])
})

test('on a terminal: one line with the time that is left, taken away at the end', () => {
  const { bar, clock, written } = drawnOn({ isTTY: true, columns: 60 })
  clock.now = 3_000
  bar.update(0.25, '1,200 messages')
  clock.now = 3_050
  bar.update(0.26)
  bar.end()
  bar.update(0.5)
  expect(written.map((text) => stripVTControlCharacters(text))).toEqual([
    '\r[██████··················] Sending: 25 %, 9 s left, 1,200 m',
    '\r',
  ])
  expect(written[1]).toBe('\r\u001b[K')
})

test('elsewhere: a plain line every five seconds', () => {
  const { bar, clock, written } = drawnOn({})
  for (clock.now = 0; clock.now <= 12_000; clock.now += 500) bar.update(clock.now / 20_000)
  bar.end()
  expect(written).toEqual(['Sending: 10 %, 18 s left\n', 'Sending: 35 %, 13 s left\n', 'Sending: 60 %, 8 s left\n'])
})

test.each([
  [0, 5_000, 'x: 0 %'],
  [0.5, 61_000, 'x: 50 %, 1 min 1 s left'],
  [1.5, 4_000, 'x: 100 %, 0 s left'],
  [null, 2_100, 'x: 3 s so far'],
])('%s after %s ms', (share, elapsedMs, text) => {
  expect(progressText('x', share, elapsedMs, '')).toBe(text)
})

test('work of unknown length is given back, and the bar goes with it, also when it fails', async () => {
  const written: string[] = []
  const options = { stream: { isTTY: true, write: (text: string) => written.push(text) }, label: 'Making', now: () => 0, quietMs: 0 }
  let redrawn = (): void => {}
  const drawn = new Promise<void>((resolve) => (redrawn = resolve))
  const watched = { ...options, stream: { isTTY: true, write: (text: string) => (written.push(text), redrawn()) } }
  await expect(withProgress(watched, () => drawn.then(() => 7))).resolves.toBe(7)
  expect(written.at(-1)).toBe('\r\u001b[K')
  await expect(withProgress(options, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
})
