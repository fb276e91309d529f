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
import { acceptedDeviations } from './accepted-deviations.ts'
import { playedOnDatabase, type DatabaseSetting } from './played-on-database.ts'
import { playTranscript, type PlayOptions } from '../player/player.ts'
import { formatReport } from '../player/report.ts'
import { loadTranscript, type Transcript } from '../recording/transcript.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']

const SECRET = 'the-secret-of-the-server-that-the-recordings-are-played-against'
const SETUP = readFileSync(new URL('../../transcripts/setup.sql', import.meta.url), 'utf8')
/** The topic that the test itself sends on, to learn that all before it has been delivered. */
const MARK_TOPIC = 'mark'

let base: string
let postgres: EmbeddedPostgres
let admin: pg.Client

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'tidewire-recordings-'))
  // Run by root, Postgres has an account of its own, which must get to its folder.
  await chmod(base, 0o755)
  postgres = await startEmbeddedPostgres({ installation, dataDir: join(base, 'db'), settings: { fsync: 'off' } })
  admin = await connected(postgres.url)
  await admin.query('create database recordings')
  const session = await connected(urlOf('recordings'))
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

async function connected(url: string): Promise<pg.Client> {
  const session = new pg.Client({ connectionString: url })
  session.on('error', () => {})
  await session.connect()
  return session
}

function urlOf(database: string): string {
  return postgres.url.replace(/\/postgres$/, `/${database}`)
}

type Played = Pick<PlayOptions, 'url' | 'sql' | 'delivered' | 'remark'>

/** A server on a database of its own, whose keys begin where those of the recording do. */
async function start(name: string, { sequences = {}, permanentSlot = false }: DatabaseSetting): Promise<Played> {
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
    temporarySlot: !permanentSlot,
    otherPublications: [{ name: 'tidewire_messages' }],
    onRow: (change, log) => {
      const message = storedMessage(change, log)
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
    authorizer: policyAuthorizer({ withSession: (work) => pool.withSession(work) }),
    messageStore: databaseMessageStore(pool),
    changeFeed: feed.changeFeed,
    drainTimeoutMs: 1_000,
  })
  closing.push(() => server.stop())
  publish = (message) => void server.server.publishTrusted(message)
  const sql = async (text: string, params: readonly unknown[] = []): Promise<void> => {
    for (const statement of statements(text)) await pool.query(statement, [...params])
  }
  const delivered = async (): Promise<void> => {
    const mark = randomUUID()
    const seen = new Promise<void>((resolve) => marks.set(mark, resolve))
    await sql(`select realtime.send('{}', $1, $2)`, [mark, MARK_TOPIC])
    await seen
  }
  // What was committed before the slot was there is never delivered.
  await streaming
  const remark = async (text: string): Promise<void> => {
    if (text.startsWith('pg_ctl restart')) await restart()
  }
  return { url: server.url.replace('http:', 'ws:'), sql, delivered, remark }
}

function recorded(name: string, { token = 'role=anon exp=future' }: DatabaseSetting): Transcript {
  const transcript = loadTranscript(name)
  const steps = transcript.steps.map((step) =>
    step.kind === 'open' ? { ...step, url: step.url.replace('<jwt>', `<jwt ${token}>`) } : step,
  )
  return { ...transcript, steps }
}

/** The recorder wrote some statements down in words. */
function statements(text: string): string[] {
  const [, body] = /^insert notes '(\w+)' \+ realtime\.send$/.exec(text) ?? []
  if (body === undefined) return [text]
  return [`select realtime.send('{}', 'afterrestart', 'room:dbr', true)`, `insert into notes (body, n) values ('${body}', 1)`]
}

async function restart(): Promise<void> {
  const { port, dataDir } = postgres
  await admin.end()
  await postgres.stop()
  postgres = await startEmbeddedPostgres({ installation, dataDir, port, settings: { fsync: 'off' } })
  admin = await connected(postgres.url)
}

describe('our server on Postgres says what the reference said', () => {
  test.each(Object.entries(playedOnDatabase))('%s', async (name, setting) => {
    const { deadlineMs = 3_000 } = setting
    const server = await start(name, setting)
    const report = await playTranscript(recorded(name, setting), { ...server, secret: SECRET, deviations: acceptedDeviations, deadlineMs })
    expect(formatReport(report)).toBe('')
    expect(report.compared).toBeGreaterThan(2)
  })
})
