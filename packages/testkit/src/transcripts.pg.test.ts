import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  databaseMessageStore,
  databasePool,
  migrate,
  openPostgresFeed,
  policyAuthorizer,
  startEmbeddedPostgres,
  storedMessage,
  type EmbeddedPostgres,
} from '@tidewire/postgres'
import { startServer, tokenVerifier } from '@tidewire/server'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { acceptedDeviations } from './transcript-accepted.ts'
import { playedOnDatabase } from './transcript-played.ts'
import { playTranscript, type PlayOptions } from './transcript-player.ts'
import { formatReport } from './transcript-report.ts'
import { loadTranscript } from './transcript.ts'

const SECRET = 'the-secret-of-the-server-that-the-recordings-are-played-against'
const SETUP = readFileSync(new URL('../transcripts/setup.sql', import.meta.url), 'utf8')
/** The topic that the test itself sends on, to learn that all before it has been delivered. */
const MARK_TOPIC = 'mark'

let base: string
let postgres: EmbeddedPostgres
let admin: pg.Client

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'tidewire-recordings-'))
  // Run by root, Postgres has an account of its own, which must get to its folder.
  await chmod(base, 0o755)
  postgres = await startEmbeddedPostgres({ dataDir: join(base, 'db'), settings: { fsync: 'off' } })
  admin = new pg.Client({ connectionString: postgres.url })
  await admin.connect()
  await admin.query('create database recordings')
  const session = new pg.Client({ connectionString: urlOf('recordings') })
  await session.connect()
  await migrate(session)
  await session.query(SETUP)
  await session.end()
})

afterAll(async () => {
  await admin.end()
  await postgres.stop()
  await rm(base, { recursive: true, force: true })
})

const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

function urlOf(database: string): string {
  return postgres.url.replace(/\/postgres$/, `/${database}`)
}

/** A server on a database of its own, whose keys begin where those of the recording do. */
async function start(name: string, sequences: Readonly<Record<string, number>>): Promise<Pick<PlayOptions, 'url' | 'sql' | 'delivered'>> {
  await admin.query(`create database ${name} template recordings`)
  const pool = databasePool({ url: urlOf(name), maxConnections: 4, connectTimeoutMs: 10_000 })
  closing.push(() => pool.close())
  for (const [sequence, first] of Object.entries(sequences)) await pool.query(`select setval($1, $2, false)`, [sequence, first])
  const marks = new Map<string, () => void>()
  let publish: (message: NonNullable<ReturnType<typeof storedMessage>>) => void = () => {}
  let streams = (): void => {}
  const streaming = new Promise<void>((resolve) => (streams = resolve))
  const feed = openPostgresFeed({
    onStatus: ({ kind }) => {
      if (kind === 'streaming') streams()
    },
    databaseUrl: urlOf(name),
    temporarySlot: true,
    otherPublications: [{ name: 'tidewire_messages' }],
    onRow: (change) => {
      const message = storedMessage(change)
      if (message === null) return
      if (message.subTopic === MARK_TOPIC) marks.get(message.event)?.()
      else publish(message)
    },
  })
  closing.push(() => feed.close())
  const server = await startServer({
    port: 0,
    verifier: tokenVerifier({ secret: SECRET }),
    observer: { decision() {}, connected() {}, disconnected() {}, joined() {}, left() {}, broadcast() {}, received() {} },
    authorizer: policyAuthorizer({ withSession: (work) => pool.withSession(work), uuid: randomUUID }),
    messageStore: databaseMessageStore(pool),
    changeFeed: feed.changeFeed,
    drainTimeoutMs: 1_000,
  })
  closing.push(() => server.stop())
  publish = (message) => void server.server.publishTrusted(message)
  const sql = (text: string, params: readonly unknown[] = []): Promise<unknown> => pool.query(text, [...params])
  const delivered = async (): Promise<void> => {
    const mark = randomUUID()
    const seen = new Promise<void>((resolve) => marks.set(mark, resolve))
    await sql(`select realtime.send('{}', $1, $2)`, [mark, MARK_TOPIC])
    await seen
  }
  // What was committed before the slot was there is never delivered.
  await streaming
  return { url: server.url.replace('http:', 'ws:'), sql, delivered }
}

describe('our server on Postgres says what the reference said', () => {
  test.each(Object.entries(playedOnDatabase))('%s', async (name, { sequences = {}, deadlineMs = 3_000 }) => {
    const server = await start(name, sequences)
    const report = await playTranscript(loadTranscript(name), { ...server, secret: SECRET, deviations: acceptedDeviations, deadlineMs })
    expect(formatReport(report)).toBe('')
    expect(report.compared).toBeGreaterThan(2)
  })
})
