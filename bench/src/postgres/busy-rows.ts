/**
 * How often an ordinary client, which knows nothing of superseded rows, gets less than a full record of a table whose rows are
 * written again soon: under a policy of the row, and under one that reads another table. Run alone:
 * `npx tsx bench/src/postgres/busy-rows.ts [writes a second] [seconds]`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { WebSocket } from 'ws'
import { Child } from '../child.ts'
import type { ServerMessage } from '../messages.ts'
import { startDatabase } from './database.ts'

const writesPerSecond = Number(process.argv[2] ?? 500)
const seconds = Number(process.argv[3] ?? 20)

/** One write in ten is to a row that was written just before. */
const REWRITE_ONE_IN = 10
const STEP_MS = 10
const WRITERS = 4
const TIMEOUT_MS = 30_000

const TABLES = ['by_row', 'by_members'] as const
type Table = (typeof TABLES)[number]

const SETUP = `
create table public.members (room int primary key); insert into public.members values (1); grant select on public.members to anon;
${TABLES.map(
  (name) => `create table public.${name} (id int primary key, room int, title text, body text, revision int);
    alter table public.${name} enable row level security; grant select on public.${name} to anon;
    alter publication supabase_realtime add table public.${name};`,
).join('\n')}
create policy by_row on public.by_row for select to anon using (room = 1);
create policy by_members on public.by_members for select to anon using (exists (select from public.members m where m.room = by_members.room));`

interface Data {
  readonly type: string
  readonly record: Readonly<Record<string, unknown>>
  readonly superseded?: boolean
}

const COLUMNS = ['body', 'id', 'revision', 'room', 'title']

interface Counts {
  received: number
  superseded: number
  lessThanFull: number
}

const database = await startDatabase()
const url = await database.create(SETUP)
process.env['BENCH_DATABASE_URL'] = url
const server = new Child<ServerMessage>('servers/tidewire-hostile.ts', null)
const writers = Array.from({ length: WRITERS }, () => new pg.Client({ connectionString: url }))
try {
  const ready = await server.next(TIMEOUT_MS)
  if (ready.kind !== 'ready') throw new Error('the server did not say where it listens')
  await Promise.all(writers.map((writer) => writer.connect()))
  for (const table of TABLES) {
    const counts = await subscribe(
      `ws://127.0.0.1:${ready.port}/realtime/v1/websocket?apikey=${encodeURIComponent(ready.apiKey)}&vsn=1.0.0`,
      table,
    )
    const startedAt = performance.now()
    const written = await write(table)
    const rate = written / ((performance.now() - startedAt) / 1_000)
    const until = performance.now() + TIMEOUT_MS
    while (counts.received < written && performance.now() < until) await delay(50)
    const { received, superseded, lessThanFull } = counts
    console.log(
      `${table}: ${written} writes at ${rate.toFixed(0)}/s, ${received} received, ${superseded} of them superseded, ${lessThanFull} with less than a full record`,
    )
    if (lessThanFull > 0 || received < written) process.exitCode = 1
  }
} finally {
  await Promise.all(writers.map((writer) => writer.end()))
  await server.stop()
  await database.stop()
}

/** As a client of Supabase does: it asks for neither positions nor marks. */
async function subscribe(socketUrl: string, table: Table): Promise<Counts> {
  const counts: Counts = { received: 0, superseded: 0, lessThanFull: 0 }
  const socket = new WebSocket(socketUrl)
  await new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  const config = { postgres_changes: [{ event: '*', schema: 'public', table }] }
  const subscribed = new Promise<void>((resolve) => {
    socket.on('message', (frame: Buffer) => {
      const { event, payload } = JSON.parse(frame.toString()) as { event: string; payload: { message?: string; data?: Data } }
      if (event === 'system' && payload.message === 'Subscribed to PostgreSQL') resolve()
      if (event !== 'postgres_changes' || payload.data === undefined) return
      const { record, superseded } = payload.data
      counts.received++
      if (superseded === true) counts.superseded++
      if (Object.keys(record).toSorted().join() !== COLUMNS.join()) counts.lessThanFull++
    })
  })
  socket.send(JSON.stringify({ topic: `realtime:${table}`, event: 'phx_join', ref: '1', join_ref: '1', payload: { config } }))
  await subscribed
  return counts
}

/** Each write is a transaction of its own. Answers how many there were. */
async function write(table: Table): Promise<number> {
  const insert = `insert into public.${table} values ($1, 1, 'a title', repeat('x', 200), 0)`
  const rewrite = `update public.${table} set revision = revision + 1, title = 'another title' where id = $1`
  const startedAt = performance.now()
  const lastOf: Promise<unknown>[] = writers.map(() => Promise.resolve())
  let written = 0
  let rows = 0
  while (written < writesPerSecond * seconds) {
    const due = Math.min(writesPerSecond * seconds, Math.floor(((performance.now() - startedAt) / 1_000) * writesPerSecond))
    for (; written < due; written++) {
      // By the session that wrote the row, right behind it.
      const rewrites = written % REWRITE_ONE_IN === REWRITE_ONE_IN - 1
      const id = rewrites ? rows : ++rows
      const at = id % WRITERS
      lastOf[at] = lastOf[at]!.then(() => writers[at]!.query(rewrites ? rewrite : insert, [id]))
    }
    await delay(STEP_MS)
  }
  await Promise.all(lastOf)
  return written
}
