import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MAX_LSN } from './lsn.ts'
import { compareLogPositions, formatPosition, parsePosition } from './position.ts'

const place = fc.record({ commitLsn: fc.bigInt(0n, MAX_LSN), seq: fc.integer({ min: 0, max: 0xffff_ffff }) })

test('comes back from its text', () => {
  const sample = { epoch: '3f09ac41d2e7', commitLsn: 0x16_b374_d848n, seq: 7 }
  expect(formatPosition({ ...sample, isIncomplete: false })).toBe('3f09ac41d2e7/16b374d848/7')
  expect(formatPosition({ ...sample, isIncomplete: true })).toBe('3f09ac41d2e7/16b374d848/7!')
  fc.assert(
    fc.property(place, fc.stringMatching(/^[0-9a-z]{1,32}$/), fc.boolean(), (at, epoch, isIncomplete) => {
      const position = { ...at, epoch, isIncomplete }
      expect(parsePosition(formatPosition(position))).toEqual(position)
    }),
  )
})

test('is not read from anything else, and never throws', () => {
  const texts = [
    '',
    '//',
    'a/1',
    'a/1/',
    'a/1/-1',
    'a/g/1',
    'A/1/1',
    'a/11111111111111111/1',
    'a/1/4294967296',
    'a/1/1 ',
    'a/1/1!!',
    'a/1/1\n',
    'é/1/1',
  ]
  expect(texts.filter((text) => parsePosition(text) !== null)).toEqual([])
  fc.assert(fc.property(fc.string(), (text) => parsePosition(text) === null || text.split('/').length === 3))
})

test('places are ordered by commit, then by sequence', () => {
  fc.assert(
    fc.property(place, place, (one, other) => {
      expect(Math.sign(compareLogPositions(one, other))).toBe(-Math.sign(compareLogPositions(other, one)) || 0)
      expect(compareLogPositions(one, { ...one })).toBe(0)
      expect(compareLogPositions(one, { ...one, seq: one.seq + 1 })).toBeLessThan(0)
      expect(compareLogPositions({ ...one, commitLsn: 1n }, { ...other, commitLsn: 2n })).toBeLessThan(0)
    }),
  )
})
