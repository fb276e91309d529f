import type { RealtimeError } from '@tidewire/protocol'
import { settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { Listeners } from './listeners.ts'

test('calls in the order of registration; one that throws is reported and the others are called', async () => {
  const errors: RealtimeError[] = []
  const heard: string[] = []
  const listeners = new Listeners((error) => errors.push(error))
  const add = (name: string, run: () => unknown): void =>
    listeners.add({ type: 'broadcast', filter: { event: '*' }, callback: () => (heard.push(name), run()) })
  add('a', () => {
    throw new Error('a is broken')
  })
  add('b', () => Promise.reject(new Error('b is broken')))
  add('c', () => {})
  listeners.emit('broadcast', 'e', {})
  await settle()
  expect(heard).toEqual(['a', 'b', 'c'])
  expect(errors.map(({ code, cause }) => [code, (cause as Error).message])).toEqual([
    ['listener-threw', 'a is broken'],
    ['listener-threw', 'b is broken'],
  ])
})

test('a listener may add and remove others while it is called', () => {
  const heard: string[] = []
  const listeners = new Listeners(() => {})
  const b = { type: 'x', filter: { event: '*' }, callback: () => heard.push('b') as never }
  listeners.add({
    type: 'x',
    filter: { event: '*' },
    callback: () => {
      heard.push('a')
      listeners.remove('x', (binding) => binding === b)
      listeners.add({ type: 'x', filter: { event: '*' }, callback: () => heard.push('new') as never })
    },
  })
  listeners.add(b)
  listeners.emit('x', 'e', {})
  expect(heard).toEqual(['a', 'b'])
  heard.length = 0
  listeners.emit('x', 'e', {})
  expect(heard).toEqual(['a', 'new'])
})

test('event names match without regard to case; a star matches all', () => {
  const heard: unknown[] = []
  const listeners = new Listeners(() => {})
  for (const event of ['*', 'Move', undefined]) listeners.add({ type: 'x', filter: { event }, callback: () => heard.push(event) as never })
  listeners.emit('x', 'mOVE', {})
  expect(heard).toEqual(['*', 'Move'])
  listeners.emit('x', undefined, {})
  expect(heard).toEqual(['*', 'Move', '*'])
})
