import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatLsn, laterLsn, MAX_LSN, parseLsn } from './lsn.ts'

test('is written as Postgres writes it', () => {
  expect(formatLsn(0n)).toBe('0/0')
  expect(formatLsn(0x16_b374_d848n)).toBe('16/B374D848')
  expect(formatLsn(0x1_0000_0001n)).toBe('1/1')
  expect(formatLsn(MAX_LSN)).toBe('FFFFFFFF/FFFFFFFF')
})

test('comes back from its text', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, MAX_LSN), (lsn) => {
      expect(parseLsn(formatLsn(lsn))).toBe(lsn)
    }),
  )
})

test('is not read from anything else', () => {
  const texts = ['', '0', '/', '0/', '/0', '0/0/0', '0/G', '123456789/0', '0/123456789', ' 0/0', '0/0\n', '-1/0', '0x1/0']
  expect(texts.filter((text) => parseLsn(text) !== null)).toEqual([])
})

test('the later of two', () => {
  expect(laterLsn(1n, 2n)).toBe(2n)
  expect(laterLsn(2n, 1n)).toBe(2n)
})
