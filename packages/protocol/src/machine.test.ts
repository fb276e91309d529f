import { expect, test } from 'vitest'
import { go, Machine, type Transition } from './machine.ts'

/** Counts its events; an event lists its effects. */
function count(state: number, event: readonly string[]): Transition<number, string> {
  return go(state + 1, ...event)
}

test('the state is that of the event before any of its effects is carried out', () => {
  const seen: [string, number][] = []
  const machine = new Machine(0, count, (effect) => seen.push([effect, machine.state]))
  machine.send(['a'])
  machine.send([])
  expect(machine.state).toBe(2)
  machine.send(['b', 'c'])
  expect(seen).toEqual([
    ['a', 1],
    ['b', 3],
    ['c', 3],
  ])
})

test('an effect that sends the next event has its effects carried out after those of the event before', () => {
  const done: string[] = []
  const machine = new Machine(0, count, (effect) => {
    done.push(effect)
    if (effect !== 'a') return
    machine.send(['c', 'd'])
    expect(machine.state).toBe(2)
  })
  machine.send(['a', 'b'])
  machine.send(['e'])
  expect(done).toEqual(['a', 'b', 'c', 'd', 'e'])
})

test('an effect that throws costs the effects after it, and not those of later events', () => {
  const done: string[] = []
  const machine = new Machine(0, count, (effect) => {
    if (effect === 'x') throw new Error('thrown')
    done.push(effect)
  })
  expect(() => machine.send(['x', 'n'])).toThrow('thrown')
  machine.send(['l'])
  expect(done).toEqual(['l'])
})
