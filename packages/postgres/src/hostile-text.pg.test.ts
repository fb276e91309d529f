/** Texts that would be SQL if anything pasted them, through every way in from a client. */
import type { Authorization, Identity } from '@tidewire/server'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../test/feed.ts'
import { usePostgres } from '../test/postgres.ts'
import { policyAuthorizer } from './io/sessions/policy-authorizer.ts'
import { databasePool, type DatabasePool } from './io/sessions/session-pool.ts'
import { databaseMessageStore } from './messages/message-store.ts'
import { arrayLiteral } from './subscribe/request/change-entry.ts'

const postgres = usePostgres()
let it: TestFeed
let pool: DatabasePool
let before: unknown

const DROP = 'drop table notes'
const HOSTILE: Readonly<Record<string, string>> = {
  'a single quote': `'; ${DROP}; --`,
  'two single quotes': `''; ${DROP}; --`,
  'a double quote': `"; ${DROP}; --`,
  'a parenthesis': `1); ${DROP}; --`,
  'a quote and a parenthesis': `') or 1=1; ${DROP}; --`,
  dollars: `$$; ${DROP}; $$`,
  'tagged dollars': `$tidewire$; ${DROP}; $tidewire$`,
  'a backslash': `\\'; ${DROP}; --`,
  'an escape string': `E'\\x27; ${DROP}; --`,
  'a block comment': `*/ ; ${DROP}; /*`,
  'a line break': `--\n; ${DROP};\r\n--`,
  'unicode quotes': `\u2019; ${DROP}; \u02bc\uff07 --`,
  'an escaped identifier': `U&"\\0027"; ${DROP}; --`,
  'a parameter': `$1; ${DROP}; --`,
  'a role': `anon'; reset role; ${DROP}; --`,
  'a NUL': `x\0'; ${DROP}; --`,
  'half a character': `\ud800'; ${DROP}; --`,
  '60 KB': `${`'";$$`.repeat(12_288)}; ${DROP}; --`,
}
const cases = Object.entries(HOSTILE)

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table notes (id serial primary key, body text, n int); insert into notes (body) values ('kept');
     create table mine (id serial primary key, body text); alter table mine enable row level security;
     create policy mine on mine for select using (body = auth.jwt() ->> 'sub');
     grant all on notes, mine to anon, authenticated, service_role;
     create policy read on realtime.messages for select to authenticated using (realtime.topic() like 'room:%');
     create policy write on realtime.messages for insert to authenticated with check (realtime.topic() like 'room:%');
     alter publication supabase_realtime add table notes, mine`,
  )
  pool = databasePool({ url: it.url, maxConnections: 2, connectTimeoutMs: 5_000 })
  const first = it.open({ entries: [{ event: '*', schema: 'public', table: 'mine' }] })
  await first.subscribed()
  first.handle.close()
  before = await everything()
})
afterAll(async () => {
  await pool.close()
  await it.close()
})

test('an array literal holds any text that Postgres can store, unchanged', async () => {
  const texts = fc.array(
    fc.option(
      fc
        .string({ unit: 'binary' })
        .filter((text) => !text.includes('\0'))
        .map((text) => Buffer.from(text).toString()),
    ),
  )
  const written = fc.oneof(texts, fc.constant(cases.map(([, text]) => Buffer.from(text.replace('\0', '')).toString())))
  await fc.assert(
    fc.asyncProperty(written, async (values) => {
      const { rows } = await pool.query('select $1::text[] as read', [arrayLiteral(values)])
      expect(rows).toEqual([{ read: values }])
    }),
  )
})

/** What there is, temporary functions of sessions aside. */
async function everything(): Promise<unknown> {
  const { rows } = await it.sql.query(`
    with there as (select oid from pg_namespace where nspname !~ '^pg_(temp|toast)')
    select (select array_agg(relname::text || relkind::text order by oid) from pg_class where relnamespace in (select oid from there)) as relations,
      (select array_agg(proname::text || md5(prosrc) order by oid) from pg_proc where pronamespace in (select oid from there)) as functions,
      (select array_agg(nspname::text order by oid) from pg_namespace where oid in (select oid from there)) as schemas,
      (select array_agg(p::text order by p::text) from pg_policies p) as policies,
      (select array_agg(r::text order by oid) from pg_roles r) as roles,
      (select array_agg(s::text order by s::text) from pg_db_role_setting s) as settings,
      (select array_agg(relname::text || coalesce(relacl::text, '') order by oid) from pg_class where relnamespace in (select oid from there)) as grants,
      (select array_agg(n::text order by id) from notes n) as notes`)
  return rows
}

const NOTES = { event: '*', schema: 'public', table: 'notes' }

async function verdict(entry: object, identity: Identity = asRole('anon')): Promise<string> {
  const channel = it.open({ entries: [entry], identity })
  const { status } = await channel.verdict()
  channel.handle.close()
  return status
}

const flags = (answer: Authorization): string => (answer.ok ? `${answer.broadcast}` : 'unknown')

describe.each(cases)('%s', (name, text) => {
  const isText = name !== 'a NUL'

  test('as a name is the name of nothing; as a value it is a value', async () => {
    const column = text.replaceAll('=', '')
    const refused = {
      schema: { ...NOTES, schema: text },
      table: { ...NOTES, table: text },
      select: { ...NOTES, select: ['id', text] },
      'filtered column': { ...NOTES, filter: `${column}=eq.1` },
      operator: { ...NOTES, filter: `body=${text}.1` },
      number: { ...NOTES, filter: `n=eq.${text}` },
      numbers: { ...NOTES, filter: `n=in.(1,${text})` },
    }
    for (const [place, entry] of Object.entries(refused)) expect([place, await verdict(entry)]).toEqual([place, 'error'])
    expect(['role', await verdict(NOTES, asRole(text))]).toEqual(['role', 'error'])
    for (const filter of ['eq', 'not.eq', 'like', 'match', 'isdistinct', 'is'].map((op) => `body=${op}.${text}`))
      expect(['ok', 'error']).toContain(await verdict({ ...NOTES, filter }))
    for (const event of [text, '*']) expect(['ok', 'error']).toContain(await verdict({ ...NOTES, event, [text]: text }))
    expect(await everything()).toEqual(before)
  })

  test('as a topic, a role, claims and headers of a private channel', async () => {
    const authorizer = policyAuthorizer({ withSession: (work) => pool.withSession(work) })
    const user: Identity = { role: 'authenticated', claims: { sub: text, [text]: text }, headers: { 'x-any': text, [text]: text } }
    for (const ask of ['read', 'write'] as const) {
      expect(flags(await authorizer[ask]({ subTopic: text, identity: asRole('authenticated') }))).not.toBe('true')
      const allowed = flags(await authorizer[ask]({ subTopic: `room:${text}`, identity: asRole('authenticated') }))
      expect(allowed === 'true').toBe(isText)
      expect(flags(await authorizer[ask]({ subTopic: 'room:1', identity: { ...user, role: text } }))).not.toBe('true')
      expect(flags(await authorizer[ask]({ subTopic: 'other', identity: user }))).not.toBe('true')
      expect(flags(await authorizer[ask]({ subTopic: 'room:1', identity: user })) === 'true').toBe(isText)
    }
    const replayed = await databaseMessageStore(pool).replay(text, 0, 25)
    expect(replayed.ok ? replayed.messages : []).toEqual([])
    expect(await everything()).toEqual(before)
  })
})

test('as claims under policies: every user gets their own row and no other', async () => {
  const entries = [{ event: '*', schema: 'public', table: 'mine' }]
  // Postgres keeps neither of these two in text.
  const texts = cases.filter(([name]) => name !== 'a NUL' && name !== 'half a character').map(([, text]) => text)
  const channels = texts.map((text) => it.open({ entries, identity: asRole('authenticated', { sub: text, [text]: text }) }))
  const others = [HOSTILE['a NUL']!, HOSTILE['half a character']!].map((text) =>
    it.open({ entries, identity: asRole('authenticated', { sub: text }) }),
  )
  const service = it.open({ entries, identity: asRole('service_role') })
  await Promise.all([...channels, ...others, service].map((channel) => channel.subscribed()))
  for (const text of texts) await it.sql.query('insert into mine (body) values ($1)', [text])
  await Promise.all([...channels.map((channel) => channel.received(1)), service.received(texts.length)])
  expect(channels.map(({ changes }) => changes.map(({ data }) => data.record?.['body']))).toEqual(texts.map((text) => [text]))
  expect(others.map(({ changes }) => changes.length)).toEqual([0, 0])
  expect(await everything()).toEqual(before)
  for (const channel of [...channels, ...others, service]) channel.handle.close()
})
