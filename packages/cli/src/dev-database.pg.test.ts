/** What a newcomer does: start, make a table, insert a row, and see it arrive. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { RealtimeClient as SupabaseClient, type WebSocketLikeConstructor } from '@supabase/realtime-js'
import { RealtimeClient } from '@tidewire/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox } from '../test/cli-process.ts'

interface Ready {
  readonly url: string
  readonly anonKey: string
  readonly databaseUrl: string
}

let sandbox: CliSandbox
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => sandbox.clear())

interface Seen {
  readonly type: string
  readonly row: unknown
}

test(
  'an insert typed in a terminal reaches our client and the one of Supabase; a restart keeps the data',
  { timeout: 120_000 },
  async () => {
    const dev = sandbox.start(['dev', '--port', '0', '--json'])
    const ready = await dev.json<Ready>()
    const sql = async (text: string): Promise<string> => (await sandbox.run(['sql', text])).stdout
    expect(await sql('create table todos (id serial primary key, title text)')).toBe('CREATE\n')
    const keyless = await sandbox.run(['sql', 'create table nopk (a int)'])
    expect(keyless.stderr).toContain('changes of public.nopk are not sent to clients, since it has no primary key: alter table public.nopk')

    const socketUrl = `${ready.url.replace('http', 'ws')}/realtime/v1`
    const ours = new RealtimeClient(socketUrl, { apikey: ready.anonKey })
    const transport = WebSocket as unknown as WebSocketLikeConstructor
    const theirs = new SupabaseClient(socketUrl, { params: { apikey: ready.anonKey }, transport })
    const seen: Record<'ours' | 'theirs', Seen[]> = { ours: [], theirs: [] }
    let changed = (): void => {}
    const filter = { schema: 'public', table: 'todos' }
    const [ourChannel, theirChannel] = [ours.channel('rows'), theirs.channel('rows')]
    ourChannel.onPostgresChanges('*', filter, (change) => {
      seen.ours.push({ type: change.eventType, row: change.new })
      changed()
    })
    theirChannel.on('postgres_changes', { event: '*', ...filter }, (change) => {
      seen.theirs.push({ type: change.eventType, row: change.new })
      changed()
    })
    const live = new Promise<void>((resolve) => void theirChannel.on('system', {}, ({ status }) => status === 'ok' && resolve()))
    ourChannel.subscribe()
    theirChannel.subscribe()
    await ourChannel.ready({ timeout: 15_000 })
    await live

    await sql("insert into todos (title) values ('first'); update todos set title = 'second'; delete from todos")
    while (seen.ours.length < 3 || seen.theirs.length < 3) await new Promise<void>((resolve) => (changed = resolve))
    const expected = [
      { type: 'INSERT', row: { id: 1, title: 'first' } },
      { type: 'UPDATE', row: { id: 1, title: 'second' } },
      { type: 'DELETE', row: {} },
    ]
    expect(seen).toEqual({ ours: expected, theirs: expected })

    const heard = new Promise<unknown>((resolve) => void ourChannel.onBroadcast('ping', ({ payload }) => resolve(payload)))
    await sql(`select realtime.send('{"id": "1", "n": 1}', 'ping', 'rows', false)`)
    expect(await heard).toEqual({ id: '1', n: 1 })

    await sql("insert into todos (title) values ('kept')")
    await ours.disconnect()
    await theirs.disconnect()
    expect((await dev.stop()).code).toBe(0)
    const folder = join(sandbox.folder, '.tidewire')
    expect(existsSync(join(folder, 'postgres', 'postmaster.pid'))).toBe(false)
    expect(statSync(join(folder, 'keys.json')).mode & 0o077).toBe(0)
    expect(readFileSync(join(folder, 'postgres.password'), 'utf8')).not.toBe('')

    const again = sandbox.start(['dev', '--port', '0', '--json'])
    await again.json<Ready>()
    expect((await sandbox.run(['sql', '--json', 'select title from todos'])).stdout).toBe('{"title":"kept"}\n')
    expect((await again.stop()).code).toBe(0)
  },
)

test.skipIf(process.getuid?.() !== 0)('root in a folder that is closed to others: a server without a database, which is said', async () => {
  chmodSync(sandbox.folder, 0o700)
  const sentence =
    /cannot run as root, and uid \d+, which it would run as, may not enter .*\. Use a Postgres of your own instead: --db postgres:/
  for (const [args, place] of [
    [[], 'stdout'],
    [['--json'], 'stderr'],
  ] as const) {
    const dev = sandbox.start(['dev', '--port', '0', ...args])
    await dev.line((line) => line.includes('service'))
    const { code, ...outcome } = await dev.stop()
    expect(outcome[place]).toMatch(sentence)
    expect({ code, lines: outcome[place].split('\n').filter((line) => sentence.test(line)).length }).toEqual({ code: 0, lines: 1 })
  }
})

test.each(['postgres.log', 'postgres.password'])('something in the place of %s is one sentence and code 1', async (name) => {
  const inTheWay = join(sandbox.folder, '.tidewire', name)
  mkdirSync(inTheWay, { recursive: true })
  const { code, stdout, stderr } = await sandbox.run(['dev', '--port', '0'])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/(^|\n)Cannot use .*\.tidewire.* \(EISDIR\): give \.tidewire\/? back to your user, or start with --no-db\.\n$/)
  expect(stderr).not.toMatch(/\n\s+at /)
})
