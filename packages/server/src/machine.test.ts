import { expect, test } from 'vitest'
import { Effects } from './machine.ts'

test('an effect that sends the next event has its effects carried out after those of the event before', () => {
  const effects = new Effects<string>()
  const done: string[] = []
  const perform = (effect: string): void => {
    done.push(effect)
    if (effect === 'a') effects.run(['c', 'd'], perform)
  }
  effects.run(['a', 'b'], perform)
  effects.run([], perform)
  effects.run(['e'], perform)
  expect(done).toEqual(['a', 'b', 'c', 'd', 'e'])
})

test('an effect that throws costs the effects after it, and not those of later events', () => {
  const effects = new Effects<string>()
  const done: string[] = []
  const perform = (effect: string): void => {
    if (effect === 'throws') throw new Error('thrown')
    done.push(effect)
  }
  expect(() => effects.run(['throws', 'never'], perform)).toThrow('thrown')
  effects.run(['later'], perform)
  expect(done).toEqual(['later'])
})
