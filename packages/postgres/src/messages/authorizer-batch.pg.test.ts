import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Authorization, Authorizer, Identity } from '@tidewire/server'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { usePostgres } from '../../test/postgres.ts'
import { migrate } from '../io/migrate.ts'
import { databasePool, type DatabasePool } from '../io/sessions/session-pool.ts'
import { policyAuthorizer } from '../io/sessions/policy-authorizer.ts'

const postgres = usePostgres()
let pool: DatabasePool
let admin: pg.Client
let url: string
let authorizer: Authorizer

beforeAll(async () => {
  url = await postgres.createDatabase()
  admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await migrate(admin)
  await admin.query(`
    create table members (room text, member text, primary key (room, member));
    grant select on members to authenticated;
    create function is_busy(room text) returns bool language sql security definer as $$ select exists (select from realtime.messages where topic = room) $$;
    create function spoof() returns bool language plpgsql as $$ begin raise exception using errcode = 'TWOK1'; end $$;
    create policy members on realtime.messages for select to authenticated
      using (exists (select from members where room = realtime.topic() and member = auth.jwt() ->> 'sub'));
    create policy "may write" on realtime.messages for insert to authenticated
      with check (exists (select from members where room = realtime.topic() and member = auth.jwt() ->> 'sub'));
    create policy "divides by zero" on realtime.messages for select to authenticated using (case when realtime.topic() = 'raises' then 1 / (length(realtime.topic()) - 6) = 1 else false end);
    create policy "writes raise" on realtime.messages for insert to authenticated with check (case when realtime.topic() = 'raises' then 1 / (length(realtime.topic()) - 6) = 1 else false end);
    create function swallow() returns bool language plpgsql as $$ begin
      begin perform pg_sleep(60); exception when query_canceled then perform pg_sleep(60); end;
      return true; end $$;
    create policy swallows on realtime.messages for select to authenticated using (case when realtime.topic() = 'swallows' then swallow() else false end);
    create policy sleeps on realtime.messages for select to authenticated using (realtime.topic() like 'sleeps%' and pg_sleep(60) is null);
    create policy busy on realtime.messages for select to authenticated using (realtime.topic() = 'if lobby is busy' and is_busy('lobby'));
    create policy spoof on realtime.messages for all to authenticated using (case when realtime.topic() = 'spoofs' then spoof() else false end);
    insert into members select 'r' || n, 'u' || n from generate_series(0, 99) n`)
  pool = databasePool({ url, maxConnections: 5, connectTimeoutMs: 2_000 })
  authorizer = policyAuthorizer({ withSession: (work) => pool.withSession(work), sessions: 5 })
})
afterAll(async () => {
  await pool.close()
  await admin.end()
})

const user = (sub: string): Identity => ({ role: 'authenticated', claims: { role: 'authenticated', sub }, headers: {} })
const read = (subTopic: string, sub = 'u0'): Promise<Authorization> => authorizer.read({ subTopic, identity: user(sub) })
const write = (subTopic: string, sub = 'u0'): Promise<Authorization> => authorizer.write({ subTopic, identity: user(sub) })
const isAllowed = (authorization: Authorization): boolean => authorization.ok && authorization.broadcast && authorization.presence

describe('one batch', () => {
  test('answers each user alone', async () => {
    const asked = Array.from({ length: 200 }, (_, n) => ({ room: `r${n % 100}`, member: `u${n < 100 ? n : n - 99}` }))
    const expected = asked.map(({ room, member }) => room.slice(1) === member.slice(1))
    expect((await Promise.all(asked.map(({ room, member }) => read(room, member)))).map(isAllowed)).toEqual(expected)
    expect((await Promise.all(asked.map(({ room, member }) => write(room, member)))).map(isAllowed)).toEqual(expected)
  })

  test('says where the log was, which was after all that was committed before its questions (rule R5)', async () => {
    const { rows } = await admin.query<{ before: string; cluster: string }>(
      `select (pg_current_wal_flush_lsn() - '0/0')::text as before, system_identifier::text as cluster from pg_control_system()`,
    )
    const answers = await Promise.all([read('r0'), read('r0'), read('r1'), write('r0')])
    const positions = answers.map((answer) => (answer.ok ? answer.position : null))
    expect(positions[0]!.lsn).toBeGreaterThanOrEqual(BigInt(rows[0]!.before))
    expect(positions[0]!.log).toBe(`1@${rows[0]!.cluster}`)
    // One object, so that it costs a channel nothing.
    for (const position of positions) expect(position).toBe(positions[0])
  })

  test('with members that raise, sleep, have no role or hold a NUL: they harm only themselves', async () => {
    const started = performance.now()
    const sleeping = read('sleeps', 'sleeper')
    const poison = [
      read('raises'),
      write('raises'),
      authorizer.read({ subTopic: 'r0', identity: { ...user('u0'), role: 'no such role' } }),
      read('r\0'),
      read('r0', "' or true; drop table members; --\\"),
    ]
    const good = await Promise.all(Array.from({ length: 100 }, (_, n) => read(`r${n}`, `u${n}`)))
    expect(good.map(isAllowed)).toEqual(Array<boolean>(100).fill(true))
    expect(performance.now() - started).toBeLessThan(4_000)
    const [reads, writes, noRole, nul, injected] = await Promise.all(poison)
    expect(reads).toMatchObject({
      ok: true,
      broadcast: false,
      failed: true,
      detail: 'the policy "divides by zero" on realtime.messages failed: division by zero',
    })
    expect(writes).toMatchObject({ failed: true, detail: 'the policy "writes raise" on realtime.messages failed: division by zero' })
    expect(noRole).toMatchObject({ ok: true, broadcast: false, detail: 'There is no role "no such role" in the database' })
    expect(nul).toMatchObject({ ok: true, broadcast: false, detail: expect.stringContaining('NUL') as string })
    expect(injected).toMatchObject({ ok: true, broadcast: false })
    expect(await sleeping).toMatchObject({ ok: false, reason: expect.stringMatching(/^QueryCanceled: /) as string })
  })

  test('with a member that will not be cancelled: the others are asked again without it', async () => {
    const swallowing = read('swallows', 'swallower')
    const others = Promise.all(Array.from({ length: 10 }, (_, n) => read(`r${n}`, `u${n}`)))
    expect((await others).map(isAllowed)).toEqual(Array<boolean>(10).fill(true))
    expect(await swallowing).toMatchObject({ ok: false })
    await expect
      .poll(
        async () => (await admin.query(`select from pg_stat_activity where application_name = 'tidewire' and state <> 'idle'`)).rowCount,
        { timeout: 8_000 },
      )
      .toBe(0)
  }, 30_000)

  test('shows no member the rows of another', async () => {
    await admin.query("insert into members values ('lobby', 'u0')")
    const [lobby, ifBusy] = await Promise.all([read('lobby'), read('if lobby is busy')])
    expect([isAllowed(lobby), isAllowed(ifBusy)]).toEqual([true, false])
  })

  test('takes an error for nothing else, whatever state it claims', async () => {
    const answers = await Promise.all([read('spoofs'), write('spoofs')])
    expect(answers.map(isAllowed)).toEqual([false, false])
  })
})

test('questions asked after a policy changed are answered by the new one, those of a running batch by either', async () => {
  await admin.query("insert into members values ('gate', 'u0')")
  const before = Array.from({ length: 300 }, (_, n) => read(n % 2 === 0 ? 'gate' : `r${n % 100}`, n % 2 === 0 ? 'u0' : `u${n % 100}`))
  await admin.query("delete from members where room = 'gate'")
  const after = await Promise.all(Array.from({ length: 20 }, () => read('gate')))
  expect(after.map(isAllowed)).toEqual(Array<boolean>(20).fill(false))
  for (const [n, answer] of (await Promise.all(before)).entries()) if (n % 2 === 1) expect(isAllowed(answer)).toBe(true)
})

test('a batch leaves no rows, no locks, no settings and no transaction behind', async () => {
  // Postgres ends the session that an earlier question held up once it sees that its client is gone.
  const busy = async (): Promise<unknown> =>
    (await admin.query("select from pg_stat_activity where application_name = 'tidewire' and state <> 'idle'")).rowCount
  await expect.poll(busy, { timeout: 15_000 }).toBe(0)
  await Promise.all([read('r1', 'u1'), write('r1', 'u1'), read('raises')])
  const { rows } = await admin.query(`select (select count(*)::int from realtime.messages) as rows,
    (select count(*)::int from pg_locks l join pg_stat_activity a using (pid) where a.application_name = 'tidewire' and l.locktype = 'relation') as locks,
    (select count(*)::int from pg_stat_activity where application_name = 'tidewire' and state <> 'idle') as busy`)
  expect(rows).toEqual([{ rows: 0, locks: 0, busy: 0 }])
  const who = await pool.withSession((session) =>
    session.query(
      "select current_user::text as who, current_setting('request.jwt.claims', true) as claims, current_setting('statement_timeout') as timeout",
    ),
  )
  expect(who.rows).toEqual([{ who: 'postgres', claims: '', timeout: '0' }])
})

test('a session that lost its function gets it again', async () => {
  const one = databasePool({ url, maxConnections: 1, connectTimeoutMs: 2_000 })
  const asked = policyAuthorizer({ withSession: (work) => one.withSession(work), sessions: 1 })
  expect(isAllowed(await asked.read({ subTopic: 'r1', identity: user('u1') }))).toBe(true)
  await one.query('discard all')
  expect(isAllowed(await asked.read({ subTopic: 'r1', identity: user('u1') }))).toBe(true)
  await one.close()
})

test('questions wait on while all sessions are used for other things', async () => {
  const one = databasePool({ url, maxConnections: 1, connectTimeoutMs: 1_000 })
  const asked = policyAuthorizer({ withSession: (work) => one.withSession(work), sessions: 1 })
  const holder = one.withSession((session) => session.query('select pg_sleep(2.2)'))
  expect(isAllowed(await asked.read({ subTopic: 'r1', identity: user('u1') }))).toBe(true)
  await holder
  await one.close()
})

/** Passes bytes on, and holds them back on demand. */
async function openGate(): Promise<{ readonly url: string; hold(): void; release(): void; close(): Promise<void> }> {
  const target = new URL(url)
  const { port, hostname } = target
  const sockets = new Set<Socket>()
  const server: Server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  target.port = String((server.address() as AddressInfo).port)
  return {
    url: target.href,
    hold: () => {
      for (const socket of sockets) socket.pause()
    },
    release: () => {
      for (const socket of sockets) socket.resume()
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test('a database that answers late is waited for; what piled up meanwhile is asked when it answers', async () => {
  const gate = await openGate()
  const slow = databasePool({ url: gate.url, maxConnections: 3, connectTimeoutMs: 2_000 })
  const asked = policyAuthorizer({ withSession: (work) => slow.withSession(work), sessions: 3 })
  expect(isAllowed(await asked.read({ subTopic: 'r1', identity: user('u1') }))).toBe(true)
  gate.hold()
  const all = Promise.all(Array.from({ length: 100 }, (_, n) => asked.read({ subTopic: `r${n}`, identity: user(`u${n}`) })))
  const answered = { is: false }
  void all.then(() => (answered.is = true))
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(answered.is).toBe(false)
  gate.release()
  expect((await all).map(isAllowed)).toEqual(Array<boolean>(100).fill(true))
  await slow.close()
  await gate.close()
})
