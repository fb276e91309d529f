import { expect, test } from 'vitest'
import { OrderCheck } from './order-check.ts'

function seeing(sequences: readonly number[], sent = Math.max(...sequences)): OrderCheck['faults'] {
  const check = new OrderCheck(1)
  for (const sequence of sequences) check.saw(0, sequence)
  check.end(0, sent)
  return check.faults
}

test.each([
  ['all in order', [1, 2, 3], { lost: 0, duplicated: 0, reordered: 0 }],
  ['one left out', [1, 3, 4], { lost: 1, duplicated: 0, reordered: 0 }],
  ['two exchanged', [1, 3, 2, 4], { lost: 0, duplicated: 0, reordered: 1 }],
  ['one twice', [1, 2, 2, 3], { lost: 0, duplicated: 1, reordered: 0 }],
  ['an old one again', [1, 2, 3, 1], { lost: 0, duplicated: 1, reordered: 0 }],
  ['left out, late, and again', [1, 4, 3, 3, 2], { lost: 0, duplicated: 1, reordered: 2 }],
])('%s', (_name, sequences, faults) => expect(seeing(sequences)).toEqual(faults))

test('what never came is lost', () => expect(seeing([1, 2], 5)).toEqual({ lost: 3, duplicated: 0, reordered: 0 }))

test('a message that came before is distinguished', () => {
  const check = new OrderCheck(2)
  expect([check.saw(0, 1), check.saw(1, 1), check.saw(0, 1), check.saw(0, 3), check.saw(0, 2), check.saw(0, 2)]).toEqual([
    true,
    true,
    false,
    true,
    true,
    false,
  ])
})

test('each subscriber is counted by itself', () => {
  const check = new OrderCheck(2)
  expect([check.saw(0, 1), check.saw(1, 1), check.saw(0, 1)]).toEqual([true, true, false])
  expect(check.faults.duplicated).toBe(1)
})
