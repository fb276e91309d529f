import { expect, test } from 'vitest'
import { madeNames, withoutPrivateNames } from './short-names.ts'

test('only private names change, and nothing moves', () => {
  const source = [
    'class A {',
    '  #count = 0 // #count',
    "  readonly text: string = '#count'",
    '  get #next(): number { return this.#count + `#${this.#count}`.length }',
    '  has(other: object): boolean { return /#next/.test(String(other)) }',
    '}',
  ].join('\n')
  const wanted = source
    .replace('#count = 0', '_count = 0')
    .replace('get #next', 'get _next')
    .replace('this.#count +', 'this._count +')
    .replace('${this.#count}', '${this._count}')
  expect(withoutPrivateNames(source, 'a.ts')).toBe(wanted)
  expect([madeNames.test('_count'), madeNames.test('_'), madeNames.test('count')]).toEqual([true, false, false])
})
