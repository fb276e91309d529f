import { ServerRuntime } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { Outbox } from './outbox.ts'

function outbox(): { readonly runtime: ServerRuntime; readonly out: Outbox; readonly writes: string[] } {
  const runtime = new ServerRuntime()
  const writes: string[] = []
  return { runtime, out: new Outbox((frames) => writes.push(frames.toString()), runtime), writes }
}

test('a lone frame is written at once, several of a turn together', () => {
  const { runtime, out, writes } = outbox()
  out.gather(Buffer.from('a'))
  expect(writes).toEqual(['a'])
  for (const text of ['b', 'c', 'd']) out.gather(Buffer.from(text))
  expect(writes).toEqual(['a'])
  runtime.endTurn()
  expect(writes).toEqual(['a', 'bcd'])
  out.gather(Buffer.from('e'))
  expect(writes).toEqual(['a', 'bcd', 'e'])
})

test('what is written at once does not overtake what was gathered', () => {
  const { runtime, out, writes } = outbox()
  for (const text of ['a', 'b', 'c']) out.gather(Buffer.from(text))
  out.write(Buffer.from('now'))
  out.gather(Buffer.from('d'))
  out.flush()
  runtime.endTurn()
  expect(writes).toEqual(['a', 'bc', 'now', 'd'])
})

test('64 KB do not wait for the end of the turn', () => {
  const { out, writes } = outbox()
  for (let n = 0; n < 10; n++) out.gather(Buffer.alloc(20_000, 'x'))
  expect(writes.map(({ length }) => length)).toEqual([20_000, 80_000, 80_000])
})
