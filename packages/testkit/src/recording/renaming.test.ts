import { describe, expect, test } from 'vitest'
import { parseJson } from './json.ts'
import { madeUpByServer, Renaming, type Mismatch } from './renaming.ts'

const ONE = '11111111-aaaa-11f1-ad16-d2f260465496'
const TWO = '22222222-bbbb-11f1-ad16-d2f260465496'
const THREE = '33333333-cccc-11f1-ad16-d2f260465496'
const FOUR = '44444444-dddd-11f1-ad16-d2f260465496'

function comparing(saidByClients = ''): (recorded: unknown, actual: unknown) => Mismatch | null {
  const renaming = new Renaming(madeUpByServer(saidByClients))
  return (recorded, actual) => renaming.compare(parseJson(JSON.stringify(recorded))!, parseJson(JSON.stringify(actual))!)
}

test('the order of keys is free, all else counts', () => {
  const compare = comparing()
  expect(compare({ a: 1, b: [true, null] }, { b: [true, null], a: 1 })).toBeNull()
  expect(compare({ a: 1 }, { a: '1' })).toMatchObject({ path: ['a'] })
  expect(compare({ a: 1 }, { a: 1, b: 2 })).toMatchObject({ path: ['b'], detail: 'not expected: 2' })
  expect(compare({ a: 1, b: 2 }, { a: 1 })).toMatchObject({ path: ['b'], detail: 'missing: 2' })
  expect(compare([1, 2], [1])).toMatchObject({ path: [1] })
  expect(compare([1], [1, 2])).toMatchObject({ path: [1] })
  expect(compare([1, 2], [2, 1])).toMatchObject({ path: [0] })
  expect(compare({}, [])).toMatchObject({ path: [] })
  expect(compare('ü', 'u')).toMatchObject({ path: [] })
})

test('the ids of a change are a set, and each keeps its name', () => {
  const compare = comparing()
  const reply = (ids: number[]): unknown => ({ response: { postgres_changes: ids.map((id) => ({ id })) } })
  const change = (ids: number[]): unknown => ({ payload: { ids } })
  expect(compare(reply([11, 12, 13]), reply([1, 2, 3]))).toBeNull()
  expect(compare(change([13, 11]), change([1, 3]))).toBeNull()
  expect(compare(change([13, 11]), change([1, 2]))).not.toBeNull()
  expect(compare(change([13, 11]), change([3]))).not.toBeNull()
  expect(compare(change([13, 11]), change([3, 1, 2]))).not.toBeNull()
})

describe('names', () => {
  test('an equal name stays equal', () => {
    const compare = comparing()
    expect(compare({ phx_ref: 'r1' }, { phx_ref: 'x1' })).toBeNull()
    expect(compare({ phx_ref_prev: 'r1', phx_ref: 'r2' }, { phx_ref_prev: 'x1', phx_ref: 'x2' })).toBeNull()
    expect(compare({ phx_ref: 'r2' }, { phx_ref: 'x1' })).toMatchObject({ path: ['phx_ref'] })
  })

  test('two swapped names are reported', () => {
    const compare = comparing()
    const metas = (...refs: string[]): unknown => refs.map((ref) => ({ phx_ref: ref }))
    expect(compare(metas('a', 'b'), metas('x', 'y'))).toBeNull()
    expect(compare(metas('b', 'a'), metas('x', 'y'))).toMatchObject({ path: [0, 'phx_ref'] })
    expect(compare(metas('b', 'a'), metas('y', 'x'))).toBeNull()
  })

  test('one name cannot stand for two', () => {
    expect(comparing()({ ids: [1, 2] }, { ids: [10, 10] })).toMatchObject({ path: ['ids', 1] })
    expect(comparing()({ ids: [1, 1] }, { ids: [10, 20] })).toMatchObject({ path: ['ids', 1] })
  })

  test('the same value is another name in another role', () => {
    expect(comparing()({ phx_ref: ONE, id: ONE }, { phx_ref: TWO, id: THREE })).toBeNull()
  })

  test('what a client said is no name', () => {
    expect(comparing(`sub=${ONE}`)({ id: ONE }, { id: TWO })).toMatchObject({ path: ['id'] })
    expect(comparing()({ id: ONE }, { id: TWO })).toBeNull()
  })

  test('a name keeps its type and form', () => {
    expect(comparing()({ id: ONE }, { id: 'short' })).toMatchObject({ path: ['id'] })
    expect(comparing()({ phx_ref: 'r' }, { phx_ref: 5 })).toMatchObject({ path: ['phx_ref'] })
    expect(comparing()({ ids: [1] }, { ids: ['1'] })).toMatchObject({ path: ['ids', 0] })
  })

  test('names of a comparison that fails do not hold', () => {
    const compare = comparing()
    expect(compare({ phx_ref: 'r1', z: 1 }, { phx_ref: 'x1', z: 2 })).not.toBeNull()
    expect(compare({ phx_ref: 'r1', z: 1 }, { phx_ref: 'x2', z: 1 })).toBeNull()
  })
})

describe('keys that the server makes', () => {
  test('are found by what they hold', () => {
    const compare = comparing()
    expect(compare({ [ONE]: { u: 'a' }, [TWO]: { u: 'b' } }, { [THREE]: { u: 'b' }, [FOUR]: { u: 'a' } })).toBeNull()
    expect(compare({ key: ONE }, { key: FOUR })).toBeNull()
    expect(compare({ key: ONE }, { key: THREE })).toMatchObject({ path: ['key'] })
  })

  test('swapped keys are reported', () => {
    const compare = comparing()
    expect(compare({ [ONE]: 1 }, { [THREE]: 1 })).toBeNull()
    expect(compare({ [TWO]: 2 }, { [FOUR]: 2 })).toBeNull()
    expect(compare({ [ONE]: 1, [TWO]: 2 }, { [FOUR]: 1, [THREE]: 2 })).not.toBeNull()
  })

  test('a chosen key stays as it is', () => {
    expect(comparing()({ bob: 1 }, { [ONE]: 1 })).toMatchObject({ path: ['bob'] })
    expect(comparing()({ [ONE]: 1 }, { [TWO]: 1, bob: 1 })).toMatchObject({ path: ['bob'] })
  })
})

test('times and the age of a token are not compared', () => {
  const compare = comparing()
  expect(compare({ commit_timestamp: '2026-11-23T18:53:23.758Z' }, { commit_timestamp: '2027-01-01T00:00:00Z' })).toBeNull()
  expect(compare({ commit_timestamp: '2026-11-23T18:53:23.758Z' }, { commit_timestamp: 'now' })).toMatchObject({
    path: ['commit_timestamp'],
  })
  expect(compare('Token has expired 12 seconds ago', 'Token has expired 0 seconds ago')).toBeNull()
  expect(compare('Token has expired 12 seconds ago', 'Token has expired')).not.toBeNull()
})
