import { expect, test } from 'vitest'
import { audience, catalogTable } from '../../test/fake-checks.ts'
import type { PendingDelivery } from '../subscribe/audience.ts'
import type { Outcome } from './outcome.ts'
import { DecisionRounds } from './decision-rounds.ts'

const outcome: Outcome = { decided: new Map(), faults: [], computed: new Map() }
const table = catalogTable()
const [first, second] = ['me', 'you'].map((sub) => [...audience(table, sub).members][0]!)
const [one, two] = [first!.channel, second!.channel]
const whole: PendingDelivery = { audience: first!.audience!, rows: [], asks: false }
const forBoth = (): PendingDelivery => ({ ...whole, only: new Set([first!, second!]) })

test('the last decision about each channel counts', () => {
  const rounds = new DecisionRounds()
  rounds.add([], outcome)
  expect([rounds.counts(whole, one), rounds.counts(whole, two)]).toEqual([true, true])
  const [again, third] = [forBoth(), forBoth()]
  expect(rounds.begin([one, two])).toBe(true)
  rounds.add([again], outcome)
  expect([whole, again].map((delivery) => [rounds.counts(delivery, one), rounds.counts(delivery, two)])).toEqual([
    [false, false],
    [true, true],
  ])
  expect(rounds.begin([one])).toBe(true)
  rounds.add([third], outcome)
  expect([whole, again, third].map((delivery) => [rounds.counts(delivery, one), rounds.counts(delivery, two)])).toEqual([
    [false, false],
    [false, true],
    [true, false],
  ])
  expect(rounds.outcomes).toHaveLength(3)
})

test('rounds end, and then nothing counts for those that change without end', () => {
  const rounds = new DecisionRounds()
  rounds.add([], outcome)
  let count = 0
  while (rounds.begin([one])) {
    rounds.add([forBoth()], outcome)
    count++
  }
  expect(count).toBe(10)
  expect([rounds.counts(whole, one), rounds.counts(whole, two)]).toEqual([false, true])
})
