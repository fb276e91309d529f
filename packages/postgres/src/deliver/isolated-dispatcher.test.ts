import { expect, test } from 'vitest'
import { audience, catalogTable, change, streamTable } from '../../test/fake-checks.ts'
import { audienceKey } from '../subscribe/audience.ts'
import { isolate } from './isolated-dispatcher.ts'

const table = catalogTable()
const described = streamTable(table)
const [one, two, three] = [1, 2, 3].map((id) => change(described, id, { now: [String(id), ''] }))

test('a channel gets all its isolated rows in one piece, in their order, whichever of its audiences causes it', () => {
  const [first, second] = [audience(table, 'me'), audience(table, 'you')]
  const [subscription] = [...first.members]
  subscription!.channel.dispatch({ type: 'epoch-known' })
  subscription!.channel.dispatch({ type: 'registered', missed: null })
  second.members.clear()
  second.members.add({ ...subscription!, order: 1 })
  const { work, isolated } = isolate([
    { audience: first, rows: [two!], asks: false },
    { audience: second, rows: [three!, one!], asks: false },
    // Rows of the same audience whose filters only Postgres can evaluate.
    { audience: first, rows: [one!], asks: true },
  ])
  expect(work).toEqual([
    {
      key: `${audienceKey(first)}\n${audienceKey(second)}`,
      audiences: new Set([first, second]),
      rows: [one, two, three],
      channels: new Set([subscription!.channel]),
    },
  ])
  expect([...isolated.keys()]).toEqual([one, two, three])
})

test('a channel that live changes do not reach is left out', () => {
  expect(isolate([{ audience: audience(table, 'me'), rows: [one!], asks: true }])).toEqual({ work: [], isolated: new Map() })
})
