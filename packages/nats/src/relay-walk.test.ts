import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TOPICS, Walk, type Fate, type Step } from '../test/walk.ts'

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31)
const NODES = 3

const node = fc.nat({ max: NODES - 1 })
const topic = fc.nat({ max: TOPICS.length - 1 })
const fate = fc.constantFrom<Fate>('lost', 'double', 'late', 'fine')
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      node,
      topic,
      times: fc.integer({ min: 1, max: 4 }),
      size: fc.constantFrom(0, 0, 0, 9_000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(10, 200, 700, 1_500) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('disturb' as const), node, fates: fc.array(fate, { minLength: 1, maxLength: 6 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('toggle' as const), node, topic }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('cut' as const, 'heal' as const, 'heal' as const), node }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), node }) },
)

async function walkAll(delayMs: () => number, look: (walk: Walk) => void): Promise<void> {
  let lost = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
      const walk = new Walk(NODES, delayMs)
      for (let each = 0; each < NODES; each++) {
        await walk.do({ kind: 'toggle', node: each, topic: 0 })
        await walk.do({ kind: 'toggle', node: each, topic: 1 + (each % 2) })
      }
      await walk.do({ kind: 'pass', ms: 4_000 })
      for (const each of steps) await walk.do(each)
      await walk.quiet()
      expect(walk.faults()).toEqual([])
      look(walk)
      lost += walk.lost
    }),
    { seed, numRuns: 100 },
  )
  expect(lost).toBeGreaterThan(100)
}

describe(`a relay at random (FC_SEED=${seed})`, () => {
  it('reports a gap for everything that is lost, and for nothing else', { timeout: 120_000 }, () =>
    walkAll(
      () => 0,
      ({ needless }) => expect(needless).toEqual([]),
    ),
  )

  it('reports a gap for everything that is lost on a slow broker', { timeout: 120_000 }, () => {
    let delay = 0
    return walkAll(
      () => (delay = (delay + 7) % 40),
      () => {},
    )
  })
})
