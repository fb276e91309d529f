import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CounterSet } from './counter-set.ts'

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31)

const counter = fc.integer({ min: 1, max: 40 })
const range = fc.tuple(counter, fc.integer({ min: 0, max: 6 })).map(([from, length]): [number, number] => [from, from + length])

function numbers(ranges: readonly (readonly [number, number])[]): Set<number> {
  return new Set(ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, at) => from + at)))
}

function setOf(ranges: readonly (readonly [number, number])[]): CounterSet {
  const set = new CounterSet()
  for (const [from, to] of ranges) set.add(from, to)
  return set
}

const sorted = (values: Iterable<number>): number[] => [...values].sort((a, b) => a - b)

describe(`CounterSet (FC_SEED=${seed})`, () => {
  it.each([
    { name: 'starts empty', add: [], ranges: [] },
    { name: 'holds one counter', add: [[3, 3]], ranges: [3, 3] },
    {
      name: 'grows at the end',
      add: [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
      ranges: [1, 3],
    },
    {
      name: 'grows at the start',
      add: [
        [3, 3],
        [2, 2],
        [1, 1],
      ],
      ranges: [1, 3],
    },
    {
      name: 'keeps a gap',
      add: [
        [1, 2],
        [4, 5],
      ],
      ranges: [1, 2, 4, 5],
    },
    {
      name: 'closes a gap',
      add: [
        [1, 2],
        [4, 5],
        [3, 3],
      ],
      ranges: [1, 5],
    },
    {
      name: 'swallows what lies inside',
      add: [
        [2, 3],
        [5, 6],
        [9, 9],
        [1, 8],
      ],
      ranges: [1, 9],
    },
    {
      name: 'takes the same twice',
      add: [
        [2, 6],
        [3, 4],
      ],
      ranges: [2, 6],
    },
    {
      name: 'inserts between',
      add: [
        [1, 1],
        [9, 9],
        [5, 5],
      ],
      ranges: [1, 1, 5, 5, 9, 9],
    },
  ] as { name: string; add: [number, number][]; ranges: number[] }[])('$name', ({ add, ranges }) => {
    expect(setOf(add).ranges).toEqual(ranges)
  })

  it('does not share its ranges', () => {
    const given = [1, 4]
    const set = new CounterSet(given)
    const taken = set.ranges
    set.add(9)
    expect(given).toEqual([1, 4])
    expect(taken).toEqual([1, 4])
  })

  it('holds, counts and covers what a plain set would', () => {
    const property = fc.property(fc.array(range), fc.array(range), (added, asked) => {
      const set = setOf(added)
      const model = numbers(added)
      expect([...set]).toEqual(sorted(model))
      expect(set.size).toBe(model.size)
      for (let value = 0; value <= 48; value++) expect(set.has(value)).toBe(model.has(value))
      expect(set.covers(asked.flat())).toBe([...numbers(asked)].every((value) => model.has(value)))
      const joined = setOf(added)
      joined.addAll(setOf(asked).ranges)
      expect([...joined]).toEqual(sorted(numbers([...added, ...asked])))
    })
    fc.assert(property, { seed, numRuns: 500 })
  })

  it('keeps its ranges sorted and apart', () => {
    const property = fc.property(fc.array(range), (added) => {
      const { ranges } = setOf(added)
      for (let at = 1; at < ranges.length; at++) {
        expect(ranges[at]! - ranges[at - 1]!).toBeGreaterThanOrEqual(at % 2 === 0 ? 2 : 0)
      }
    })
    fc.assert(property, { seed, numRuns: 500 })
  })

  it('is one range when nothing is missing, in whatever order it came', () => {
    const everything = Array.from({ length: 30 }, (_, at) => at + 1)
    const property = fc.property(fc.shuffledSubarray(everything, { minLength: 30 }), (order) => {
      expect(setOf(order.map((value) => [value, value])).ranges).toEqual([1, 30])
    })
    fc.assert(property, { seed, numRuns: 200 })
  })

  it('leaves out what is excluded', () => {
    const property = fc.property(fc.array(range), fc.array(counter), (added, out) => {
      const set = setOf(added)
      const rest = new CounterSet(set.without(out))
      const model = numbers(added)
      for (const value of out) model.delete(value)
      expect([...rest]).toEqual(sorted(model))
      expect(set.without(out)).toEqual(rest.ranges)
    })
    fc.assert(property, { seed, numRuns: 500 })
  })
})
