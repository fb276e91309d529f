import { execFile } from 'node:child_process'
import { chmod, chown, mkdtemp, readFile, readdir, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startProcess, type TestProcess } from '../../../test/child-process.ts'
import { startEmbeddedPostgres, type EmbeddedPostgresOptions } from './embedded-postgres.ts'
import { findPostgresBinaries } from './postgres-binaries.ts'
import { isRunning, readPostmasterFile } from './postmaster-file.ts'
import type { EmbeddedPostgres } from './running-server.ts'

const asRoot = process.getuid?.() === 0
const UNPRIVILEGED = { uid: 65_534, gid: 65_534 }

let base: string
let dataDir: string
let servers: EmbeddedPostgres[]
let children: TestProcess[]

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'tidewire-embedded-'))
  await chmod(base, 0o755)
  dataDir = join(base, 'db')
  servers = []
  children = []
})

// Most tests are about a database that is there: a copy of one is made in a fraction of the time that initdb takes.
let template: string
beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'tidewire-template-'))
  await chmod(template, 0o755)
  await (await startEmbeddedPostgres({ dataDir: join(template, 'db') })).stop()
})
afterAll(() => rm(template, { recursive: true, force: true }))

async function copyDatabase(): Promise<void> {
  await promisify(execFile)('cp', ['-a', join(template, 'db'), join(template, 'db.password'), base])
}

afterEach(async () => {
  for (const child of children) await child.kill()
  for (const server of servers) await server.stop()
  const left = readPostmasterFile(dataDir)?.pid
  if (left !== undefined && left !== process.pid && isRunning(left)) {
    process.kill(left, 'SIGQUIT')
    await until(() => !isRunning(left))
  }
  await rm(base, { recursive: true, force: true })
})

async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, ...options })
  servers.push(server)
  return server
}

function startOwner(then = 'stay', account?: typeof UNPRIVILEGED): TestProcess {
  const child = startProcess('embedded-owner.ts', [dataDir, then], account)
  children.push(child)
  return child
}

async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

async function until(condition: () => boolean, deadlineMs = 10_000): Promise<void> {
  const end = Date.now() + deadlineMs
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not so within ${deadlineMs} ms: ${condition.toString()}`)
    await delay(10)
  }
}

describe('a first start', () => {
  test('makes a database that is UTF-8, logical, on 127.0.0.1 with a password, and nowhere else', async () => {
    const server = await start()
    expect(server).toMatchObject({ created: true, adopted: false, dataDir })
    const [row] = await query<{ settings: Record<string, string> }>(
      server.url,
      `select jsonb_object_agg(name, setting) as settings from pg_settings where name in
       ('wal_level', 'server_encoding', 'listen_addresses', 'unix_socket_directories', 'password_encryption', 'TimeZone', 'max_slot_wal_keep_size', 'port')`,
    )
    expect(row?.settings).toEqual({
      wal_level: 'logical',
      server_encoding: 'UTF8',
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      password_encryption: 'scram-sha-256',
      TimeZone: 'UTC',
      max_slot_wal_keep_size: '1024',
      port: String(server.port),
    })
    expect(
      (await query<{ type: string; auth_method: string }>(server.url, 'select distinct type, auth_method from pg_hba_file_rules')).every(
        (rule) => rule.auth_method === 'scram-sha-256',
      ),
    ).toBe(true)
    await expect(query(server.url.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toMatchObject({ code: '28P01' })
  })

  test('keeps the password in a file of mode 600 and leaves no draft behind', async () => {
    const server = await start()
    const file = join(base, 'db.password')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(server.url).toContain(`:${(await readFile(file, 'utf8')).trim()}@`)
    expect((await readdir(base)).sort()).toEqual(['db', 'db.log', 'db.password'])
  })

  test('takes settings, which win over its own', async () => {
    const server = await start({ settings: { work_mem: '7MB', wal_level: 'replica' } })
    expect(await query(server.url, `select current_setting('work_mem') as mem, current_setting('wal_level') as wal`)).toEqual([
      { mem: '7MB', wal: 'replica' },
    ])
  })

  test('by two callers at once leaves one of them in charge and refuses the other', async () => {
    const [one, two] = await Promise.allSettled([start(), start()])
    const refused = [one, two].filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(1)
    expect(refused[0]?.reason).toMatchObject({ code: 'database-unavailable', message: expect.stringContaining('Another process') })
    expect(await query(servers[0]!.url, 'select 1 as one')).toEqual([{ one: 1 }])
  })
})

describe('stop', () => {
  beforeEach(copyDatabase)

  test('ends the server within five seconds while clients are busy, and keeps what they committed', async () => {
    const server = await start()
    await query(server.url, 'create table kept (n int)')
    await query(server.url, 'insert into kept select generate_series(1, 1000)')
    const busy = query(server.url, 'select pg_sleep(60)').catch((error: Error) => error)
    const begun = Date.now()
    await server.stop()
    expect(Date.now() - begun).toBeLessThan(5_000)
    expect(isRunning(server.pid)).toBe(false)
    expect(await busy).toBeInstanceOf(Error)
    const again = await start()
    expect(again).toMatchObject({ created: false, adopted: false })
    expect(await query(again.url, 'select count(*)::int as n from kept')).toEqual([{ n: 1000 }])
  })

  test('twice is the same as once', async () => {
    const server = await start()
    await Promise.all([server.stop(), server.stop()])
    expect(readPostmasterFile(dataDir)).toBeNull()
  })

  test('goes on to a harder signal when a client does not let the server end', async () => {
    const server = await start()
    // A walsender that never confirms keeps a fast shutdown waiting for ever.
    await query(server.url, `select pg_create_logical_replication_slot('stuck', 'test_decoding')`)
    const client = new pg.Client({ connectionString: server.url, ...{ replication: 'database' } })
    client.on('error', () => {})
    await client.connect()
    void client.query('START_REPLICATION SLOT stuck LOGICAL 0/0').catch(() => {})
    await query(server.url, 'create table t (n int)')
    await query(server.url, 'insert into t select generate_series(1, 1000)')
    await delay(100)
    const begun = Date.now()
    await server.stop()
    expect(Date.now() - begun).toBeLessThan(5_000)
    expect(isRunning(server.pid)).toBe(false)
  })

  test('is made up for when the process ends without it', async () => {
    const child = startOwner('leave')
    const { pid } = JSON.parse(await child.line()) as { pid: number }
    expect(await child.ended).toBe(0)
    await until(() => !isRunning(pid))
  })
})

describe('what a killed process left behind', () => {
  beforeEach(copyDatabase)

  test('is adopted: the same server, the same port, and stop() ends it', async () => {
    const child = startOwner()
    const left = JSON.parse(await child.line()) as { pid: number; port: number }
    await child.kill('SIGKILL')
    expect(isRunning(left.pid)).toBe(true)
    const server = await start()
    expect(server).toMatchObject({ adopted: true, created: false, pid: left.pid, port: left.port })
    await server.stop()
    expect(isRunning(left.pid)).toBe(false)
  })

  test('is not taken from a process that lives', async () => {
    const child = startOwner()
    await child.line()
    await expect(start()).rejects.toMatchObject({ code: 'database-unavailable', message: expect.stringContaining('Another process') })
  })

  test('a server that was killed as well: its stale file does no harm', async () => {
    const server = await start()
    await query(server.url, 'create table kept as select 1 as n')
    process.kill(server.pid, 'SIGKILL')
    await until(() => !isRunning(server.pid))
    expect(readPostmasterFile(dataDir)?.pid).toBe(server.pid)
    const again = await start()
    expect(again.adopted).toBe(false)
    expect(await query(again.url, 'select n from kept')).toEqual([{ n: 1 }])
  })

  test('a stale file whose process id is another program’s now', async () => {
    const server = await start()
    await server.stop()
    await writeFile(join(dataDir, 'postmaster.pid'), `${process.pid}\n${dataDir}\n1\n${server.port}\n\n127.0.0.1\n 1 1\nready   \n`)
    expect((await start()).adopted).toBe(false)
  })
})

describe('a server that ends by itself', () => {
  beforeEach(copyDatabase)

  test('is reported with the end of its log', async () => {
    let report: (log: string) => void = () => {}
    const reported = new Promise<string>((done) => (report = done))
    const server = await start({ onExit: (log) => report(log) })
    process.kill(server.pid, 'SIGINT')
    expect(await reported).toContain('database system is shut down')
  })

  test('but not when only one of its processes crashes', async () => {
    let exits = 0
    const server = await start({ onExit: () => exits++ })
    const client = new pg.Client({ connectionString: server.url })
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    process.kill(rows[0]!.pid, 'SIGKILL')
    await until(() => (readPostmasterFile(dataDir)?.status ?? '') === 'ready')
    await expect.poll(() => query(server.url, 'select 1 as one').catch(() => []), { timeout: 10_000 }).toEqual([{ one: 1 }])
    expect(exits).toBe(0)
    // The lease was lost with the other sessions and has to be held again.
    await expect.poll(() => start().then(String, (error: Error) => error.message), { timeout: 10_000 }).toContain('Another process')
  })
})

describe('faults', () => {
  beforeEach(copyDatabase)

  test('a port that is taken', async () => {
    const other = createServer()
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done))
    try {
      await expect(start({ port: (other.address() as AddressInfo).port })).rejects.toMatchObject({ code: 'port-in-use' })
    } finally {
      other.close()
    }
  })

  test('a setting that Postgres refuses, and one that is no setting', async () => {
    await expect(start({ settings: { work_mem: 'much' } })).rejects.toMatchObject({
      code: 'database-unavailable',
      message: expect.stringContaining('work_mem'),
    })
    await expect(start({ settings: { '-c x': '1' } })).rejects.toMatchObject({ code: 'bad-option' })
  })

  test('a directory of another major version', async () => {
    await (await start()).stop()
    await writeFile(join(dataDir, 'PG_VERSION'), '15\n')
    await expect(start()).rejects.toMatchObject({ code: 'database-unavailable', message: expect.stringContaining('Postgres 15') })
  })

  test('a password file that is gone', async () => {
    await (await start()).stop()
    await unlink(join(base, 'db.password'))
    await expect(start()).rejects.toMatchObject({ code: 'database-unavailable', message: expect.stringContaining('db.password') })
  })

  test('links that the package’s install script did not make are made', async () => {
    const umbrella = createRequire(import.meta.url).resolve('embedded-postgres')
    const root = dirname(dirname(createRequire(umbrella).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)))
    // One that the server itself does not load, for other tests run it at the same time.
    const link = join(root, 'native/lib/libecpg_compat.so')
    await unlink(link)
    await findPostgresBinaries()
    expect((await stat(link)).isFile()).toBe(true)
  })
})

describe('as root and not', () => {
  test.runIf(asRoot)('root has another user run it', async () => {
    const server = await start()
    expect((await stat(dataDir)).uid).not.toBe(0)
    expect((await stat(`/proc/${server.pid}`)).uid).not.toBe(0)
  })

  test.runIf(asRoot)('root in a closed folder gets a reason and what to do', async () => {
    await chmod(base, 0o700)
    await expect(start()).rejects.toMatchObject({
      code: 'database-unavailable',
      message: expect.stringMatching(/root.*may not enter .*--db/),
    })
  })

  test.runIf(asRoot)('an ordinary user runs it as itself, in a closed folder too', async () => {
    await chown(base, UNPRIVILEGED.uid, UNPRIVILEGED.gid)
    await chmod(base, 0o700)
    const child = startOwner('stay', UNPRIVILEGED)
    const answer = JSON.parse(await child.line()) as { pid: number; url: string; uid: number }
    expect(answer).toMatchObject({ uid: UNPRIVILEGED.uid, created: true, adopted: false })
    expect((await stat(`/proc/${answer.pid}`)).uid).toBe(UNPRIVILEGED.uid)
    expect(await query(answer.url, 'select 1 as one')).toEqual([{ one: 1 }])
    await child.kill('SIGKILL')
    const next = startOwner('leave', UNPRIVILEGED)
    expect(JSON.parse(await next.line())).toMatchObject({ pid: answer.pid, adopted: true })
    await next.ended
    await until(() => !isRunning(answer.pid))
  })
})
