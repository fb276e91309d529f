/**
 * What the database pays for each node: CPU of its walsenders, in microseconds for each row, while 1, 2 and 4 nodes read
 * the same changes. Run alone: `npx tsx bench/src/postgres/walsenders.ts [rows]`. Linux only.
 */
import { readFileSync } from 'node:fs'
import { openChangeSource, type ChangeSource } from '@tidewire/postgres'
import type pg from 'pg'
import { startDatabase, withClient } from './database.ts'

const NODES = [1, 2, 4]
const ROWS_A_TRANSACTION = 100
/** Of `utime` and `stime` in `/proc/PID/stat`. */
const MICROS_A_TICK = 10_000

const rows = Number(process.argv[2] ?? 200_000)

async function measure(client: pg.Client, url: string, nodes: number): Promise<void> {
  const all = Array.from({ length: nodes }, (_, at) => new CountingNode(url, `bench_${at}`))
  try {
    for (const node of all) await node.until(() => node.source.status.kind === 'streaming')
    const { rows: senders } = await client.query<{ pid: number }>(
      `select active_pid as pid from pg_replication_slots where temporary and active_pid is not null and database = current_database()`,
    )
    const before = senders.map(({ pid }) => cpuMicros(pid))
    const startedAt = performance.now()
    for (let written = 0; written < rows; written += ROWS_A_TRANSACTION)
      await client.query(`insert into rows (body) select repeat('x', 140) from generate_series(1, $1::int)`, [ROWS_A_TRANSACTION])
    for (const node of all) await node.until(() => node.count >= rows)
    const seconds = (performance.now() - startedAt) / 1_000
    const each = senders.map(({ pid }, at) => (cpuMicros(pid) - before[at]!) / rows)
    const list = each.map((micros) => micros.toFixed(1)).join(' ')
    const total = each.reduce((sum, micros) => sum + micros, 0)
    console.log(`${nodes}  ${list}  ${total.toFixed(1)}  ${Math.round(rows / seconds)}`)
  } finally {
    for (const node of all) await node.source.close()
  }
}

/** A node that confirms what it gets, and does nothing with it. */
class CountingNode {
  readonly source: ChangeSource
  count = 0
  #wake: () => void = () => {}

  constructor(connection: string, node: string) {
    this.source = openChangeSource({
      connection,
      node,
      publications: [{ name: 'bench' }],
      handlers: {
        onChanges: (changes) => {
          this.count += changes.length
          this.#wake()
        },
        onProgress: (lsn) => this.source.confirm(this.source.epoch!, lsn),
        onStatus: () => this.#wake(),
      },
    })
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => (this.#wake = resolve))
  }
}

function cpuMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * MICROS_A_TICK
}

const database = await startDatabase()
try {
  console.log(`Postgres ${database.version}, ${rows} rows of about 180 bytes, ${ROWS_A_TRANSACTION} a transaction`)
  console.log('nodes  µs a row and walsender  of all walsenders  rows/s')
  for (const nodes of NODES) {
    const url = await database.create('create table rows (id bigserial primary key, body text); create publication bench for table rows')
    await withClient(url, (client) => measure(client, url, nodes))
  }
} finally {
  await database.stop()
}
