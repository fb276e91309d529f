import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seeded } from '../../test/seeded.ts'
import { MAX_IN_VALUES, parseFilter, type Filter, type ValueFilter } from './filter.ts'

const on = (column: string, op: ValueFilter['op'], value: string, negate = false): Filter => ({ column, op, negate, value })
const eq = (column: string, value: string): Filter => on(column, 'eq', value)
const within = (column: string, value: readonly (string | null)[]): Filter => ({ column, op: 'in', negate: false, value })

describe('parseFilter', () => {
  test.each<[string, readonly Filter[]]>([
    ['', []],
    ['  \n ', []],
    ['id=eq.1', [eq('id', '1')]],
    ['  id=eq.1  ', [eq('id', '1')]],
    ['n=gt.0,n=lt.6', [on('n', 'gt', '0'), on('n', 'lt', '6')]],
    ['n=eq.1 , b=eq.2', [eq('n', '1'), eq('b', '2')]],
    ['n=eq. 1', [eq('n', ' 1')]],
    ['n =eq.1', [eq('n ', '1')]],
    ['=eq.1', [eq('', '1')]],
    ['a=eq.b=eq.c', [eq('a', 'b=eq.c')]],
    ['a=eq.1.5', [eq('a', '1.5')]],
    ['body=eq.', [eq('body', '')]],
    ['n=not.eq.5', [on('n', 'eq', '5', true)]],
    ['n=not.is.null', [on('n', 'is', 'null', true)]],
    ['n=eq.not.x', [eq('n', 'not.x')]],
    ['body=like.he%', [on('body', 'like', 'he%')]],
    ['body=match.^h.*o$', [on('body', 'match', '^h.*o$')]],
    ['body=match.(', [on('body', 'match', '(')]],
    ['n=is.5', [on('n', 'is', '5')]],
  ])('conditions: %s', (text, filters) => {
    expect(parseFilter(text)).toEqual({ ok: true, filters })
  })

  test.each<[string, readonly Filter[]]>([
    ['body=eq."a,b"', [eq('body', 'a,b')]],
    ['body=eq."a,b",n=eq.1', [eq('body', 'a,b'), eq('n', '1')]],
    [String.raw`body=eq."a\"b\\c\d"`, [eq('body', String.raw`a"b\cd`)]],
    ['body=eq.""', [eq('body', '')]],
    ['body=eq."', [eq('body', '"')]],
    ['body=eq."a', [eq('body', '"a')]],
    ['body=eq."a"b', [eq('body', '"a"b')]],
    [String.raw`body=eq."a\"`, [eq('body', String.raw`"a\"`)]],
    // A quote in the middle of a value opens nothing, so the comma after it divides.
    ['body=eq.a"b,n=eq.1', [eq('body', 'a"b'), eq('n', '1')]],
    // One that is never closed takes all that follows with it.
    ['body=eq."a,n=eq.1', [eq('body', '"a,n=eq.1')]],
    ['body=eq.(a,b),n=eq.1', [eq('body', '(a,b)'), eq('n', '1')]],
    ['body=eq.((a),b,n=eq.1', [eq('body', '((a),b,n=eq.1')]],
    ['body=eq.a),n=eq.1', [eq('body', 'a)'), eq('n', '1')]],
    ['body=eq.f("x)",y),n=eq.1', [eq('body', 'f("x)",y)'), eq('n', '1')]],
    [String.raw`body=eq.a\,n=eq.1`, [eq('body', 'a\\'), eq('n', '1')]],
  ])('quotes and parentheses: %s', (text, filters) => {
    expect(parseFilter(text)).toEqual({ ok: true, filters })
  })

  test.each<[string, readonly (string | null)[]]>([
    ['()', []],
    ['(  )', []],
    ['(1)', ['1']],
    ['(1,5,9)', ['1', '5', '9']],
    ['( a , b c ,\td\n)', ['a', 'b c', 'd']],
    ['("a,b",c)', ['a,b', 'c']],
    ['( "a" , "" )', ['a', '']],
    ['(null,NULL,"null",nul\\l)', [null, null, 'null', 'null']],
    [String.raw`("a\"b\\c\d",e\,f,g\ )`, ['a"b\\cd', 'e,f', 'g ']],
    ['("{a}",")")', ['{a}', ')']],
    ['(a(b),c)', ['a(b)', 'c']],
    ['(\u00a0)', ['\u00a0']],
  ])('lists, as Postgres reads them between braces: %s', (list, value) => {
    expect(parseFilter(`n=in.${list}`)).toEqual({ ok: true, filters: [within('n', value)] })
    expect(parseFilter(`n=not.in.${list},m=eq.1`)).toEqual({ ok: true, filters: [{ ...within('n', value), negate: true }, eq('m', '1')] })
  })

  test.each([
    ['n=eq.1,', 'empty-condition', 'filter must not contain empty segments (check for extra commas)'],
    [',n=eq.1', 'empty-condition', 'filter must not contain empty segments (check for extra commas)'],
    ['n=eq.1, ,m=eq.2', 'empty-condition', 'filter must not contain empty segments (check for extra commas)'],
    ['undefined', 'malformed', '["undefined"]'],
    ['n=5', 'malformed', '["5"]'],
    ['n=not.5', 'malformed', '["5"]'],
    ['n=', 'malformed', '[""]'],
    ['n=foo.1', 'unknown-operator', '["foo", "1"]'],
    ['n=EQ.1', 'unknown-operator', '["EQ", "1"]'],
    ['n=not.not.eq.1', 'unknown-operator', '["not", "eq.1"]'],
    ['n=.1', 'unknown-operator', '["", "1"]'],
    ['n=constructor.1', 'unknown-operator', '["constructor", "1"]'],
    ['n=in.1,2', 'no-list', '`in` filter value must be wrapped by parentheses'],
    ['n=in.(1,2', 'no-list', '`in` filter value must be wrapped by parentheses'],
    ['n=in.(', 'no-list', '`in` filter value must be wrapped by parentheses'],
    ['n=in.', 'no-list', '`in` filter value must be wrapped by parentheses'],
    ['n=in.(1,)', 'malformed-list', 'malformed array literal: "{1,}"'],
    ['n=in.(,1)', 'malformed-list', 'malformed array literal: "{,1}"'],
    ['n=in.(1, ,2)', 'malformed-list', 'malformed array literal: "{1, ,2}"'],
    ['n=in.({1},{2})', 'malformed-list', 'malformed array literal: "{{1},{2}}"'],
    ['n=in.(a"b)', 'malformed-list', String.raw`malformed array literal: "{a\"b}"`],
    ['n=in.("a"b)', 'malformed-list', String.raw`malformed array literal: "{\"a\"b}"`],
    ['n=in.(a\\)', 'malformed-list', String.raw`malformed array literal: "{a\\}"`],
    ['n=in.("a)', 'malformed-list', String.raw`malformed array literal: "{\"a}"`],
    ['ok=eq.1,n=foo.1,', 'unknown-operator', '["foo", "1"]'],
  ])('faults: %s', (text, code, detail) => {
    expect(parseFilter(text)).toEqual({ ok: false, code, detail })
  })

  test('a list may have 100 values', () => {
    const list = (length: number): string => `n=in.(${Array.from({ length }, (_, index) => index).join(',')})`
    expect(parseFilter(list(MAX_IN_VALUES))).toMatchObject({ ok: true })
    expect(parseFilter(list(MAX_IN_VALUES + 1))).toEqual({
      ok: false,
      code: 'too-many-values',
      detail: 'too many values for `in` filter. Maximum 100',
    })
  })

  // Anything worse than linear runs into the test's time limit.
  test('long text costs no more than its length', () => {
    for (const part of [',', '(', '"', '\\', ' ', 'n=eq.1,', 'a,', '."', 'n=in.(']) {
      for (const [head, tail] of [
        ['', ''],
        ['n=in.(', ')'],
        ['n=in.(a', 'b)'],
        ['n=eq."', ''],
        ['n=eq.', 'b'],
      ] as const) {
        const text = head + part.repeat(200_000 / part.length) + tail
        expect(parseFilter(text)).toHaveProperty('ok')
      }
    }
  })
})

test('any text is read or refused', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('n', '=', 'eq.', 'in.', 'not.', '(', ')', ',', '"', '\\', ' ', 'a', '.', '{') }),
  )
  fc.assert(
    fc.property(text, (given) => {
      const parsed = parseFilter(given)
      if (!parsed.ok) expect(parsed.detail).not.toBe('')
    }),
    seeded('parse', 10_000),
  )
})
