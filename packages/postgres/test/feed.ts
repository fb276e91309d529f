import type { ChangeRequest, Identity, ChangeHandle } from '@tidewire/server'
import type { JsonObject } from '@tidewire/protocol'
import pg from 'pg'
import { migrate } from '../src/io/migrate.ts'
import { openPostgresFeed, type PostgresFeed, type PostgresFeedOptions } from '../src/io/feed/postgres-feed.ts'

export interface SystemMessage {
  readonly status: 'ok' | 'error'
  readonly message: string
  readonly extra?: JsonObject
}

export interface ChangeMessage {
  readonly event: string
  readonly text: string
  readonly ids: readonly number[]
  readonly data: {
    readonly type: string
    readonly schema: string
    readonly table: string
    readonly record?: Record<string, unknown>
    readonly old_record?: Record<string, unknown>
    readonly errors: readonly string[] | null
    readonly columns: readonly { readonly name: string; readonly type: string }[]
    readonly commit_timestamp: string | null
    readonly position?: string
    readonly superseded?: boolean
  }
  readonly bytes: Uint8Array
}

/** A channel that records what it gets. */
export class TestChannel {
  readonly changes: ChangeMessage[] = []
  readonly systems: SystemMessage[] = []
  readonly handle: ChangeHandle
  #waiting: (() => void)[] = []

  constructor(feed: PostgresFeed, request: Partial<Omit<ChangeRequest, 'entries'>> & { readonly entries: readonly unknown[] }) {
    const entries = request.entries.map((entry, index) => ({ id: index + 1, entry }))
    this.handle = feed.changeFeed.open(
      { subTopic: 'test', identity: asRole('anon'), positions: false, since: null, deletes: 'all', legacy: false, ...request, entries },
      {
        change: (event, payload) => {
          const text = Buffer.from(payload).toString()
          const json = JSON.parse(text) as { ids: number[]; data: ChangeMessage['data'] }
          this.changes.push(
            request.legacy === true
              ? { event, text, ids: [], data: json as never, bytes: payload }
              : { event, text, ...json, bytes: payload },
          )
          this.#wake()
        },
        system: (status, message, extra) => {
          this.systems.push({ status, message, ...(extra === undefined ? {} : { extra }) })
          this.#wake()
        },
      },
    )
  }

  get ready(): boolean {
    return this.systems.some(({ message }) => message === 'Subscribed to PostgreSQL')
  }

  get ids(): unknown[] {
    return this.changes.map(({ data }) => data.record?.['id'])
  }

  /** The position of the last change. */
  get position(): string {
    return this.changes.at(-1)!.data.position!
  }

  /** How a resume ended: why it failed, else whether what was missed came. */
  get outcome(): unknown {
    const { recovered, reason } = this.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')?.extra ?? {}
    return reason ?? recovered
  }

  /** The reasons of the gaps that it was notified of. */
  get gaps(): unknown[] {
    return this.systems.filter(({ extra }) => extra?.['resync'] === true).map(({ extra }) => extra!['reason'])
  }

  /** Until it holds; rejects with what came instead. */
  async until(holds: () => boolean, what = 'the expected', deadlineMs = 10_000): Promise<void> {
    const deadline = Date.now() + deadlineMs
    while (!holds()) {
      const left = deadline - Date.now()
      if (left <= 0)
        throw new Error(`${what} did not come: ${JSON.stringify({ systems: this.systems, changes: this.changes.map(({ text }) => text) })}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  subscribed(): Promise<void> {
    return this.until(() => this.ready, 'the subscription')
  }

  received(count: number): Promise<void> {
    return this.until(() => this.changes.length >= count, `change ${count}`)
  }

  /** The first system message. */
  async verdict(): Promise<SystemMessage> {
    await this.until(() => this.systems.length > 0, 'a system message')
    return this.systems[0]!
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}

/** Until no change that the stream has brought waits for a decision, in order or in isolation. */
export async function decidedAll(feed: PostgresFeed, deadlineMs = 20_000): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (feed.changeFeed.progress!().oldestAt !== null) {
    if (Date.now() > deadline) throw new Error('changes still wait for a decision')
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** The walsender has decoded what `write` commits, and the feed gets it when `alter` is committed too. */
export async function inFlight({ feed, sql }: TestFeed, write: string, alter: string): Promise<void> {
  feed.source.pause()
  await sql.query(write)
  const { rows } = await sql.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn')
  const deadline = Date.now() + 10_000
  const isSent = async (): Promise<boolean> => {
    const { rows: sent } = await sql.query<{ sent: boolean | null }>(
      `select bool_and(r.sent_lsn >= $1::pg_lsn) as sent from pg_stat_replication r join pg_stat_activity a using (pid) where a.datname = current_database()`,
      [rows[0]!.lsn],
    )
    return sent[0]!.sent === true
  }
  while (!(await isSent())) if (Date.now() > deadline) throw new Error('what was written is not sent')
  await sql.query(alter)
  feed.source.resume()
}

/** A message from SQL, which reaches the servers by the log. */
export async function storeMessage(sql: pg.Client, event: string): Promise<void> {
  const columns = 'topic, extension, event, payload, private'
  await sql.query(`insert into realtime.messages (${columns}) values ('t', 'broadcast', $1, '{}', false)`, [event])
}

export function asRole(role: string, claims: JsonObject = {}): Identity {
  return { role, claims: { role, ...claims }, headers: {} }
}

export interface TestFeed {
  readonly url: string
  readonly sql: pg.Client
  readonly feed: PostgresFeed
  open(request: Partial<Omit<ChangeRequest, 'entries'>> & { readonly entries: readonly unknown[] }): TestChannel
  close(): Promise<void>
}

/** A migrated database with `setup` run on it, and a feed on it. */
export async function startFeed(url: string, setup: string, options: Partial<PostgresFeedOptions> = {}): Promise<TestFeed> {
  const sql = new pg.Client({ connectionString: url })
  sql.on('error', () => {})
  await sql.connect()
  await migrate(sql)
  await sql.query('grant usage on schema public to anon, authenticated, service_role')
  await sql.query(setup)
  const feed = openPostgresFeed({ databaseUrl: url, ...options })
  return {
    url,
    sql,
    feed,
    open: (request) => new TestChannel(feed, request),
    close: async () => {
      await feed.close()
      await sql.end()
    },
  }
}
