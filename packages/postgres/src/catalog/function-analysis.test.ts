import { expect, test } from 'vitest'
import { answersAllClaims, claimsReadBy, functionScope, type CatalogFunction } from './function-analysis.ts'

const sql = (source: string, more: Partial<CatalogFunction> = {}): CatalogFunction => ({
  oid: 20_000,
  volatility: 's',
  language: 'sql',
  source,
  argumentCount: 0,
  argumentNames: ['wanted'],
  resultType: 16,
  special: false,
  ...more,
})

test.each([
  `select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid`,
  `\n SELECT coalesce(current_setting('request.jwt.claim.sub', true), 'it''s from nowhere')::text = wanted ;`,
  `select current_setting('request.jwt.claims', true)::jsonb ->> 'tenant' = wanted`,
  `select case when $1 is null then true else lower($1) <> 'x' end`,
  `select 'kind ' || $1.n`,
])('a body that reads no table: %s', (source) => expect(functionScope(sql(source))).toBe('row'))

test.each([
  'select exists (select from members)',
  'select hidden from secrets where id = wanted',
  'table secrets',
  'with m as (select 1) select true',
  'select is_member(wanted)',
  'select auth.uid() = wanted',
  'select "current_setting"(wanted)',
  `select query_to_xml('select 1', true, true, '')`,
  `select E'\\'' from secrets --'`,
  'select wanted(1)',
  'select true; delete from log',
  'select /* from */ true',
  'select x.* is null',
  'select count(*)',
  '',
])('a body that may read a table: %s', (source) => expect(functionScope(sql(source))).toBe('opaque'))

test('what else counts: language, settings of its own, volatility, and what is built in', () => {
  expect(functionScope(sql('select true', { language: 'plpgsql' }))).toBe('opaque')
  expect(functionScope(sql('select true', { special: true }))).toBe('opaque')
  expect(functionScope(sql('select true', { volatility: 'v' }))).toBe('opaque')
  const builtIn = (source: string, volatility: string): string => functionScope(sql(source, { oid: 100, language: 'internal', volatility }))
  expect(builtIn('texteq', 'i')).toBe('row')
  expect(builtIn('show_config_by_name_missing_ok', 's')).toBe('row')
  expect(builtIn('now', 's')).toBe('analysed')
  expect(builtIn('query_to_xml', 'v')).toBe('opaque')
})

test.each([
  [`select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid`, ['sub']],
  [
    `select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''), (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'))::text`,
    ['role'],
  ],
  // Another claim than the one without the space.
  [`select current_setting('request.jwt.claims', true)::jsonb ->> 'te am'`, null],
  // Names of settings are the same in capitals.
  [`select current_setting('request.jwt.claim.SUB', true)`, null],
  [`select nullif(current_setting('realtime.topic', true), '')::text`, []],
  // What Postgres takes for one name or another operator.
  [`select coalescenullif('')`, null],
  [`select ''::textcoalesce`, null],
  [`select coalesce\u00a0('')`, null],
  [`select @ ''`, null],
  [`select current_setting('request.jwt.claims', true)::jsonb - >> 'team'`, null],
  [`select current_setting('request.headers', true)`, null],
  [`select current_setting('request.jwt.claims', true)::jsonb`, null],
  [`select current_setting('request.jwt.claims', true)::jsonb -> 'team'`, null],
  [`select current_setting('request.jwt.claims', true)::jsonb ->> 'team' from teams`, null],
])('the claims of %s', (source, claims) => {
  const read = claimsReadBy(sql(source))
  expect(read === null ? null : [...read]).toEqual(claims)
})

test.each([
  [`select nullif(current_setting('request.jwt.claims', true), '')::jsonb`, true],
  // As Supabase has it.
  [
    `select coalesce(nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), ''))::jsonb`,
    true,
  ],
  [`select current_setting('request.jwt.claims', true)::json;`, true],
  [`select current_setting('REQUEST.JWT.CLAIMS', true)::json`, false],
  [`select current_setting('request.headers', true)::json`, false],
  [`select coalesce(current_setting('request.headers', true), current_setting('request.jwt.claims', true))::jsonb`, false],
  [`select current_setting('request.jwt.claims', true)::jsonb || now()::text::jsonb`, false],
])('answers all claims: %s %s', (source, expected) => {
  expect(answersAllClaims(sql(source))).toBe(expected)
  for (const more of [{ special: true }, { argumentCount: 1 }, { volatility: 'v' }, { language: 'plpgsql' }, { resultType: 20_000 }])
    expect(answersAllClaims(sql(source, more))).toBe(false)
})
