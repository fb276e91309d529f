import { databasePool, migrate, type EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { CliSandbox } from '../../test/cli-process.ts'
import { DatabaseFolder } from '../../test/database-folder.ts'

let folder: DatabaseFolder
let good: EmbeddedPostgres
let bad: EmbeddedPostgres
let sandbox: CliSandbox

beforeAll(async () => {
  folder = new DatabaseFolder()
  good = await folder.start({ name: 'good', settings: {} })
  bad = await folder.start({ name: 'bad', settings: { wal_level: 'replica', max_slot_wal_keep_size: '-1' } })
})
afterAll(async () => {
  await folder.clear()
})
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => sandbox.clear())

async function sql(url: string, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}

/** The copies of the anchor that are being read. */
async function readers(): Promise<string[]> {
  const { rows } = await sql(good.url, 'select slot_name from pg_replication_slots where active and slot_name ~ $$^tidewire_n_$$')
  return (rows as { slot_name: string }[]).map(({ slot_name }) => slot_name)
}

interface Line {
  readonly check: string
  readonly level: string
  readonly detail: string
  readonly sql: readonly string[]
}

async function examine(url: string): Promise<{ code: number | null; found: Line[] }> {
  const { code, stdout } = await sandbox.run(['doctor', '--db', url, '--json'])
  const lines = stdout.trimEnd().split('\n')
  return { code, found: lines.map((line) => JSON.parse(line) as Line).filter(({ level }) => level !== 'ok') }
}

test('doctor: what it prints mends what it found', { timeout: 60_000 }, async () => {
  const fresh = await examine(good.url)
  expect(fresh.found.map(({ check, level }) => `${check} ${level}`)).toEqual(['roles warn', 'publication warn', 'messages warn'])
  expect(fresh.code).toBe(0)

  const pool = databasePool({ url: good.url, maxConnections: 1, connectTimeoutMs: 5_000 })
  await pool.withSession(migrate)
  await pool.close()
  await sql(
    good.url,
    `create table "No Key" (n int); create table todos (id int primary key); alter publication supabase_realtime add table "No Key", todos`,
  )
  await sql(good.url, `select pg_create_logical_replication_slot('tidewire_0123abcd', 'pgoutput')`)
  const { code, found } = await examine(good.url)
  expect(found.map(({ check, level }) => `${check} ${level}`)).toEqual([
    'primary-keys fail',
    'row-level-security warn',
    'grants warn',
    'own-slots warn',
  ])
  expect(code).toBe(1)
  expect(found[0]!.detail).toContain('public."No Key"')

  for (const statement of found.flatMap((each) => each.sql)) await sql(good.url, statement)
  expect(await examine(good.url)).toEqual({ code: 0, found: [] })
  const { stdout } = await sandbox.run(['doctor'], { env: { DATABASE_URL: good.url } })
  expect(stdout).toMatch(/^ok {4}version +Postgres \d/)
  expect(stdout).toContain(': usable, 0 to look at.')
  expect(stdout).not.toContain(new URL(good.url).password)
})

test.each([
  ['stored', 'none'],
  ['virtual', 'stored'],
])('doctor: an update that a %s generated column stands in the way of', { timeout: 60_000 }, async (kind, published) => {
  const [{ number }] = (await sql(good.url, `select current_setting('server_version_num')::int as number`)).rows as [{ number: number }]
  // Before version 18 there are no others, and none is published.
  const isRefused = number >= 180_000
  if (isRefused) await sql(good.url, `alter publication supabase_realtime set (publish_generated_columns = ${published})`)
  await sql(
    good.url,
    `create table "Sums" (n int primary key, twice int generated always as (n * 2) ${isRefused ? kind : 'stored'});
     alter table "Sums" replica identity full; alter table "Sums" enable row level security; grant select on "Sums" to anon;
     alter publication supabase_realtime add table "Sums"; insert into "Sums" values (1)`,
  )
  try {
    const update = 'update "Sums" set n = n + 1'
    if (isRefused) await expect(sql(good.url, update)).rejects.toThrow('cannot update table "Sums"')
    const { found } = await examine(good.url)
    expect(found.map(({ check, level, detail }) => `${check} ${level} ${detail.split(' on ').at(-1)}`)).toEqual(
      isRefused ? ['generated-columns fail public."Sums"'] : [],
    )
    for (const statement of found.flatMap((each) => each.sql)) await sql(good.url, statement)
    expect((await sql(good.url, update)).rowCount).toBe(1)
    expect(await examine(good.url)).toEqual({ code: 0, found: [] })
  } finally {
    await sql(good.url, 'drop table "Sums"')
  }
})

test('doctor: broken settings, and a login without rights', async () => {
  await sql(bad.url, `create role weak login password 'weak'`)
  const url = new URL(bad.url)
  const strong = await examine(url.href)
  expect(strong.found.map(({ check, level }) => `${check} ${level}`)).toEqual([
    'wal-level fail',
    'roles warn',
    'publication warn',
    'messages warn',
    'wal-bound fail',
  ])
  url.username = url.password = 'weak'
  const weak = await examine(url.href)
  expect(weak.code).toBe(1)
  expect(weak.found.map(({ check, level }) => `${check} ${level}`)).toEqual([
    'wal-level fail',
    'replication fail',
    'create-privilege fail',
    'roles fail',
    'publication fail',
    'messages fail',
    'wal-bound fail',
  ])
})

test('doctor: no database is one sentence without a password', async () => {
  expect(await sandbox.run(['doctor'])).toMatchObject({ code: 1, stderr: expect.stringMatching(/^No dev server with a database[^\n]*\n$/) })
  const { code, stderr } = await sandbox.run(['doctor', '--db', 'postgres://u:hidden-password@127.0.0.1:9/x'])
  expect(code).toBe(1)
  expect(stderr).toMatch(/^Cannot use the database 127\.0\.0\.1:9\/x: .*ECONNREFUSED[^\n]*\n$/)
  expect(await sandbox.run(['doctor', '--db', 'mysql://h'])).toMatchObject({ code: 2 })
})

test('slot: lists and drops; one that is read or not ours is refused', async () => {
  await sql(
    good.url,
    `select pg_create_logical_replication_slot('tidewire_11111111', 'pgoutput'), pg_create_logical_replication_slot('other', 'pgoutput')`,
  )
  const slot = (...args: string[]): ReturnType<CliSandbox['run']> => sandbox.run(['slot', ...args, '--db', good.url])
  expect((await slot('list')).stdout).toMatch(/^tidewire_11111111 {2}anchor, needed by no server that runs, keeps [\d.]+ [kM]?B\n$/)
  expect(JSON.parse((await slot('list', '--json')).stdout)).toMatchObject({
    name: 'tidewire_11111111',
    role: 'anchor',
    node: null,
    activePid: null,
  })
  expect(await slot('drop', 'other')).toMatchObject({ code: 2, stderr: expect.stringContaining('--force drops it, too') })
  expect(await slot('drop', 'other', '--force')).toMatchObject({ code: 0, stdout: 'Dropped other.\n' })
  expect((await slot('drop', 'tidewire_11111111', '--json')).stdout).toBe('{"dropped":"tidewire_11111111"}\n')
  expect(await slot('drop', 'tidewire_11111111')).toMatchObject({
    code: 1,
    stderr: 'There is no slot tidewire_11111111 in this database.\n',
  })
  expect((await slot('list')).stdout).toBe('No slots of Tidewire here.\n')
  for (const args of [['sell'], ['drop'], ['list', 'x']]) expect((await slot(...args)).code).toBe(2)

  const server = sandbox.start(['start'], {
    env: { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: 'a-secret-that-is-only-for-these-tests', DATABASE_URL: good.url },
  })
  await server.json((line) => line.msg.startsWith('listening on '))
  await expect.poll(readers, { timeout: 10_000 }).toHaveLength(1)
  const [active] = await readers()
  const lines = (await slot('list')).stdout.split('\n')
  expect(lines).toEqual([
    expect.stringMatching(/^tidewire_[0-9a-f]{8} {2}anchor, needed by [a-z0-9_]+, keeps /),
    expect.stringMatching(/^tidewire_n_[a-z0-9_]+ {2}copy of node [a-z0-9_]+, read by process \d+, keeps /),
    '',
  ])
  const [anchor] = lines[0]!.split(' ')
  expect(await slot('drop', anchor!)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/is the anchor that .* need to go on after a cut/),
  })
  expect(await slot('drop', active!)).toMatchObject({ code: 1, stderr: expect.stringMatching(/is being read: stop the server/) })
  await server.stop('SIGTERM')
})

test('start refuses a database without a bound on the log of its slots, unless TIDEWIRE_ALLOW_UNBOUNDED_WAL is set', async () => {
  const env = { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: 'a-secret-that-is-only-for-these-tests', DATABASE_URL: good.url }
  await sql(good.url, 'alter system set max_slot_wal_keep_size = -1')
  await sql(good.url, 'select pg_reload_conf()')
  const bound = async (): Promise<unknown> => (await sql(good.url, 'show max_slot_wal_keep_size')).rows[0]
  await expect.poll(bound).toEqual({ max_slot_wal_keep_size: '-1' })
  const refused = await sandbox.run(['start'], { env })
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toMatch(/^max_slot_wal_keep_size of the database is -1:.*TIDEWIRE_ALLOW_UNBOUNDED_WAL=true\.\n$/)
  const server = sandbox.start(['start'], { env: { ...env, TIDEWIRE_ALLOW_UNBOUNDED_WAL: 'true' } })
  await server.json((line) => line.msg.startsWith('max_slot_wal_keep_size is -1'))
  await server.json((line) => line.msg.startsWith('listening on '))
  await expect.poll(readers, { timeout: 10_000 }).toHaveLength(1)
  expect((await server.stop('SIGTERM')).code).toBe(0)
})
