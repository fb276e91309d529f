import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clusterOf, positionOf, withSnapshot } from './join-position.ts'

const END = { log: '1@c', lsn: 0n }

test('a position has the log of its timeline', () => {
  expect(positionOf('7412', '0000000A 16/B374D848')).toEqual({ log: '10@7412', lsn: 0x16_b374_d848n })
  expect(positionOf('', '0000000A 0/1')).toEqual({ log: '10@', lsn: 1n })
})

test('there is none on a standby, or of what is no LSN', () => {
  expect([positionOf('7412', null), positionOf('7412', '00000001 x')]).toEqual([null, null])
})

test('a snapshot sees what ended before it, and neither what runs nor what came later', () => {
  const { saw } = withSnapshot(END, '10:14:10,12')
  expect([9, 10, 11, 12, 13, 14, 15].filter((xid) => saw!(xid))).toEqual([9, 11, 13])
  expect(withSnapshot(END, '14:14:').saw!(13)).toBe(true)
})

test('ids are compared by their lower 32 bits, across the wrap', () => {
  const around = fc.bigInt({ min: 0n, max: 2n ** 40n })
  const distance = fc.bigInt({ min: 1n, max: 2n ** 31n - 1n })
  fc.assert(
    fc.property(around, distance, distance, (begin, before, after) => {
      const xmax = begin + 2n ** 32n
      const { saw } = withSnapshot(END, `${xmax - 1n}:${xmax}:${xmax - 1n}`)
      const low = (xid: bigint): number => Number(xid % 2n ** 32n)
      expect([saw!(low(xmax - 1n - before)), saw!(low(xmax - 1n)), saw!(low(xmax)), saw!(low(xmax + after))]).toEqual([
        true,
        false,
        false,
        false,
      ])
    }),
  )
})

test('the cluster is asked for once a session; one that may not be asked is not known', async () => {
  const asked: string[] = []
  const answering = (text: string): Promise<unknown> => {
    asked.push(text)
    return Promise.resolve({ rows: [{ cluster: '7412' }] })
  }
  const session = {}
  expect([await clusterOf(session, answering), await clusterOf(session, answering)]).toEqual(['7412', '7412'])
  expect(asked).toHaveLength(1)
  const denied = Object.assign(new Error('permission denied'), { code: '42501', severity: 'ERROR' })
  expect(await clusterOf({}, () => Promise.reject(denied))).toBe('')
  const lost = new Error('Connection terminated')
  await expect(clusterOf({}, () => Promise.reject(lost))).rejects.toBe(lost)
})
