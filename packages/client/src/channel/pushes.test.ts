import { RealtimeError } from '@tidewire/protocol'
import { FakeRuntime, settle } from '@tidewire/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Pushes } from './pushes.ts'

const lost = new RealtimeError('connection-lost', 'lost')

function pushes(): { pushes: Pushes; runtime: FakeRuntime; written: string[] } {
  const runtime = new FakeRuntime()
  const written: string[] = []
  const write = ({ event }: { readonly event: string }): string => {
    if (event === 'bad') throw new RealtimeError('not-serializable', 'no')
    written.push(event)
    return String(written.length)
  }
  return { pushes: new Pushes(runtime, write), runtime, written }
}

const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => (error as RealtimeError).code)

test('each way to settle', async () => {
  const { pushes: all, runtime } = pushes()
  const push = (event: string, now = true): Promise<unknown> => outcome(all.push({ event, payload: {}, timeoutMs: 100 }, now))
  const [ok, refused, late, bad, cut] = [push('a'), push('b'), push('c'), push('bad'), push('d')]
  expect(all.reply('1', true, { n: 1 })).toBeUndefined()
  expect(all.reply('1', true, { n: 2 })).toBeUndefined()
  expect(all.reply('2', false, { reason: 'no' })).toBeUndefined()
  expect(all.reply('9', true, {})).toBeUndefined()
  expect(all.reply('9', false, { reason: 'no' })).toBe('The server refused "a message": no')
  expect(await Promise.all([ok, refused, bad])).toEqual([{ n: 1 }, 'push-refused', 'not-serializable'])
  await runtime.advance(100)
  expect(await Promise.all([late, cut])).toEqual(['timeout', 'timeout'])
  expect(runtime.armedTimers).toBe(0)
})

test('what is held goes out in order; beyond a hundred the oldest is rejected', async () => {
  const { pushes: all, runtime, written } = pushes()
  const results = Array.from({ length: 110 }, (_, n) => outcome(all.push({ event: `e${n}`, payload: {}, timeoutMs: 100 }, false)))
  expect(await Promise.all(results.slice(0, 10))).toEqual(Array(10).fill('buffer-overflow'))
  all.flush()
  expect(written).toEqual(Array.from({ length: 100 }, (_, n) => `e${n + 10}`))
  for (let ref = 1; ref <= 100; ref++) all.reply(String(ref), true, ref)
  expect(await Promise.all(results.slice(10))).toEqual(Array.from({ length: 100 }, (_, n) => n + 1))
  expect(runtime.armedTimers).toBe(0)
})

test('every push settles exactly once, whatever happens', async () => {
  const step = fc.constantFrom('now', 'hold', 'flush', 'reply', 'failSent', 'failAll', 'advance')
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { pushes: all, runtime, written } = pushes()
      let settled = 0
      let made = 0
      for (const name of steps) {
        if (name === 'now' || name === 'hold') {
          made++
          const count = (): number => settled++
          all.push({ event: 'e', payload: {}, timeoutMs: 50 }, name === 'now').then(count, count)
        } else if (name === 'flush') all.flush()
        else if (name === 'reply') all.reply(String(written.length), true, {})
        else if (name === 'advance') await runtime.advance(20)
        else all[name](lost)
      }
      await runtime.advance(50)
      await settle()
      expect(settled).toBe(made)
      expect(runtime.armedTimers).toBe(0)
    }),
  )
})
