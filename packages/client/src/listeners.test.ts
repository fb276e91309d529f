import type { RealtimeError } from '@tidewire/protocol'
import { settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { Listeners, matchesEvent } from './listeners.ts'

test('calls in the order of registration; one that throws is reported and hurts nobody', async () => {
  const errors: RealtimeError[] = []
  const heard: string[] = []
  const listeners = new Listeners((error) => errors.push(error))
  const add = (name: string, run: () => unknown): void =>
    listeners.add({ type: 'broadcast', filter: {}, callback: () => (heard.push(name), run()) })
  add('a', () => {
    throw new Error('a is broken')
  })
  add('b', () => Promise.reject(new Error('b is broken')))
  add('c', () => {})
  listeners.emit('broadcast', {}, () => true)
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
  const b = { type: 'x', filter: {}, callback: () => heard.push('b') as never }
  listeners.add({
    type: 'x',
    filter: {},
    callback: () => {
      heard.push('a')
      listeners.remove('x', (binding) => binding === b)
      listeners.add({ type: 'x', filter: {}, callback: () => heard.push('new') as never })
    },
  })
  listeners.add(b)
  listeners.emit('x', {}, () => true)
  expect(heard).toEqual(['a', 'b'])
  heard.length = 0
  listeners.emit('x', {}, () => true)
  expect(heard).toEqual(['a', 'new'])
})

test('event names', () => {
  expect(matchesEvent('*', undefined)).toBe(true)
  expect(matchesEvent('Move', 'mOVE')).toBe(true)
  expect(matchesEvent('move', undefined)).toBe(false)
  expect(matchesEvent(undefined, undefined)).toBe(false)
})
