import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { dropSlot, listSlots, openChangeSource } from '@tidewire/postgres'
import { Child, endWithUs } from '../child.ts'
import { withClient, type BenchDatabase } from './database.ts'
import type { DecodeJob, DecodeMessage } from './messages.ts'

export interface DecodeResult {
  readonly kind: 'decode'
  readonly reader: ReaderName
  readonly round: number
  readonly rowsPerSecond: number
  /** Of the reader's process; null where it is not ours to ask. */
  readonly cpuMs: number | null
}

export type ReaderName = 'tidewire' | 'pg_recvlogical' | 'bare socket'

const PUBLICATION = 'bench_rows'
const ROWS_PER_TRANSACTION = 100
const TIMEOUT_MS = 60_000

/** About 200 B of text each. */
const SETUP = `
create table readings (
  id bigint primary key, account uuid not null, amount numeric(12, 2) not null, active boolean not null,
  created_at timestamptz not null, title text not null, tags text[] not null, details jsonb not null);
create publication ${PUBLICATION} for table readings`

function fill(rows: number): string {
  return `do $$ begin
  for batch in 0..${rows / ROWS_PER_TRANSACTION - 1} loop
    insert into readings
    select batch * ${ROWS_PER_TRANSACTION} + n, gen_random_uuid(), n * 12.34, n % 2 = 0, now(), 'reading ' || n || ' ' || repeat('x', 40),
      array['one', 'two', 'n' || n], jsonb_build_object('n', n, 'unit', 'kWh', 'ok', true)
    from generate_series(1, ${ROWS_PER_TRANSACTION}) n;
    commit;
  end loop; end $$`
}

/** The same rows out of one slot for each reader, again and again; readers take turns within a round. */
export async function decode(
  database: BenchDatabase,
  rows: number,
  rounds: number,
  onResult: (result: DecodeResult) => void,
): Promise<void> {
  const url = await database.create(SETUP)
  const recvlogical = findRecvlogical()
  const ours = await makeOurSlot(url)
  const other = 'bench_other'
  await withClient(url, (client) => client.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [other]))
  const end = await withClient(url, async (client) => {
    await client.query(fill(rows))
    const { rows: answer } = await client.query<{ lsn: string }>('select pg_current_wal_lsn() as lsn')
    // pg_recvlogical ends at the first message behind the place it is given.
    await client.query(`insert into readings select ${rows + 1}, gen_random_uuid(), 0, true, now(), '', '{}', '{}'`)
    return answer[0]!.lsn
  })
  try {
    const job = { url, publication: PUBLICATION, rows }
    const readers: (readonly [ReaderName, () => Promise<Pick<DecodeMessage, 'elapsedMs'> & { readonly cpuMs: number | null }>])[] = [
      ['tidewire', () => inChild('./postgres/decode-source.ts', { ...job, slot: ours })],
      ['bare socket', () => inChild('./postgres/decode-bare.ts', { ...job, slot: other })],
    ]
    // It confirms what it has read, so each run has a slot of its own: a copy that begins where the first one does.
    if (recvlogical !== null)
      readers.push([
        'pg_recvlogical',
        () => onCopy(url, other, (slot) => runRecvlogical(recvlogical, url, ['--slot', slot, '--endpos', end])),
      ])
    for (let round = 0; round < rounds; round++)
      for (let turn = 0; turn < readers.length; turn++) {
        const [reader, run] = readers[(turn + round) % readers.length]!
        const { elapsedMs, cpuMs } = await run()
        onResult({ kind: 'decode', reader, round, rowsPerSecond: (rows * 1000) / elapsedMs, cpuMs })
      }
  } finally {
    await withClient(url, async (client) => {
      await client.query('select pg_drop_replication_slot($1)', [other])
      for (const slot of await listSlots(client, ours)) await dropSlot(client, slot.name)
    })
  }
}

/** A source makes its slot when it first connects. Answers what the slot's name begins with. */
async function makeOurSlot(url: string): Promise<string> {
  const slot = 'bench_ours'
  await new Promise<void>((resolve, reject) => {
    const source = openChangeSource({
      connection: url,
      slot,
      publications: [{ name: PUBLICATION }],
      handlers: {
        onChanges: () => {},
        onStatus: (status) => {
          if (status.kind === 'streaming') void source.close().then(resolve)
          else if (status.kind === 'waiting') void source.close().then(() => reject(new Error(status.fault.message)))
        },
      },
    })
  })
  return slot
}

async function inChild(file: string, job: DecodeJob): Promise<DecodeMessage> {
  const child = new Child<DecodeMessage>(file, null)
  try {
    child.send(job)
    return await child.next(TIMEOUT_MS)
  } finally {
    await child.stop()
  }
}

async function onCopy<T>(url: string, slot: string, work: (copy: string) => Promise<T>): Promise<T> {
  const copy = `${slot}_copy`
  await withClient(url, (client) => client.query('select pg_copy_logical_replication_slot($1, $2)', [slot, copy]))
  try {
    return await work(copy)
  } finally {
    await withClient(url, (client) => client.query('select pg_drop_replication_slot($1)', [copy]))
  }
}

/** Its whole run, from its start to its end; what it reads goes nowhere. */
function runRecvlogical(
  program: string,
  url: string,
  words: readonly string[],
): Promise<{ readonly elapsedMs: number; readonly cpuMs: null }> {
  const { hostname, port, username, password, pathname } = new URL(url)
  const options = ['-o', 'proto_version=1', '-o', `publication_names=${PUBLICATION}`, '--no-loop', '--start', '-f', '-']
  const where = ['-h', hostname, '-p', port, '-U', username, '-d', pathname.slice(1)]
  return new Promise((resolve, reject) => {
    const began = performance.now()
    const child = spawn(program, [...where, ...words, ...options], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, PGPASSWORD: decodeURIComponent(password) },
    })
    endWithUs(child)
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
    child.on('error', reject)
    child.on('exit', (code) => {
      clearTimeout(timer)
      if (code === 0) resolve({ elapsedMs: performance.now() - began, cpuMs: null })
      else reject(new Error(`pg_recvlogical ended with ${code}`))
    })
  })
}

function findRecvlogical(): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...versionsIn('/usr/lib/postgresql'), '/opt/homebrew/opt/libpq/bin']
  return folders.map((folder) => join(folder, 'pg_recvlogical')).find((file) => existsSync(file)) ?? null
}

function versionsIn(folder: string): string[] {
  if (!existsSync(folder)) return []
  const versions = readdirSync(folder).toSorted((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(folder, version, 'bin'))
}
