import { expect, test } from 'vitest'
import { databaseError } from '../../test/fake-checks.ts'
import { StalePolicyVersion } from './ask-again.ts'
import { inHalves } from './in-halves.ts'

test('asks once where nothing fails, and not at all about nothing', async () => {
  const asked: (readonly number[])[] = []
  const ask = (part: readonly number[]): Promise<void> => Promise.resolve(void asked.push(part))
  await inHalves([1, 2, 3], ask, () => expect.unreachable())
  await inHalves([], ask, () => expect.unreachable())
  expect(asked).toEqual([[1, 2, 3]])
})

test('leaves out only those that fail alone, each with its error', async () => {
  const [answered, failed]: [number[], [number, unknown][]] = [[], []]
  const ask = (part: readonly number[]): Promise<void> =>
    part.some((one) => one % 3 === 0) ? Promise.reject(databaseError(String(part.length))) : Promise.resolve(void answered.push(...part))
  await inHalves([1, 2, 3, 4, 5, 6, 7], ask, (one, error) => failed.push([one, (error as { code: unknown }).code]))
  expect([answered, failed]).toEqual([
    [1, 2, 4, 5, 7],
    [
      [3, '1'],
      [6, '1'],
    ],
  ])
})

test.each([databaseError('08006'), new StalePolicyVersion(1)])('rejects with what concerns all: %s', async (error) => {
  let calls = 0
  const ask = (): Promise<void> => (calls++, Promise.reject(error))
  await expect(inHalves([1, 2], ask, () => expect.unreachable())).rejects.toBe(error)
  expect(calls).toBe(1)
})
