/** The TypeScript snippets of the README, as printed, against a real server. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startDatabaseNode, type DatabaseNode } from './database-node.ts'

const root = new URL('../../../', import.meta.url)
const folder = new URL('node_modules/.cache/readme/', root)

let database: DatabaseNode
beforeAll(async () => {
  database = await startDatabaseNode()
  await database.sql(`
    create table messages (id serial primary key, body text);
    create table users (id serial primary key, username text, secret text);
    insert into users (username) values ('Realtime'), ('somebody');
  `)
  await mkdir(folder, { recursive: true })
})
afterAll(() => database.stop())

interface Snippet {
  readonly heading: string
  readonly code: string
}

async function snippets(): Promise<Snippet[]> {
  const readme = await readFile(new URL('README.md', root), 'utf8')
  const found: Snippet[] = []
  let heading = ''
  for (const part of readme.split(/^(?=#+ |```)/m)) {
    if (part.startsWith('#')) heading = part.split('\n')[0]!.replace(/^#+ /, '')
    if (part.startsWith('```ts\n')) found.push({ heading, code: part.slice('```ts\n'.length) })
  }
  return found
}

/** What a snippet calls `// Setup…`: the first one, as far as the client goes. */
const SETUP = '// Setup…'
const SERVER_URL = "'ws://127.0.0.1:4000/realtime/v1'"

/** What happens in the database once the snippet is done; the program ends when it has printed what it should. */
const SQL: Readonly<Record<string, string>> = {
  'Postgres changes': `insert into messages (body) values ('hello');
    update users set secret = 'x' where username = 'somebody';
    update users set secret = 'y' where username = 'Realtime';`,
}

function afterwards(heading: string, lines: number): string {
  const sql = SQL[heading]
  // The last line of the first snippet comes when its channel is removed.
  if (sql === undefined) return `await printedLines(${heading === 'Creating a channel' ? lines - 1 : lines})`
  return `
    const { default: pg } = await import('pg')
    const database = new pg.Client(process.env['DATABASE_URL'])
    await database.connect()
    await database.query(${JSON.stringify(sql)})
    await database.end()
    await printedLines(${lines})
  `
}

/** Lets a program wait until it has printed so many lines. */
const COUNTING = `
  let printed = 0
  let onPrint = () => {}
  const { log } = console
  console.log = (...words: unknown[]) => { log(...words); printed++; onPrint() }
  const printedLines = async (count: number) => { while (printed < count) await new Promise<void>((resolve) => (onPrint = resolve)) }
`

async function run(n: number, { code, heading }: Snippet, setup: string, lines: number): Promise<string[]> {
  const program = `${COUNTING}${code.replace(SETUP, setup).replace(SERVER_URL, JSON.stringify(database.node.socketUrl))}
${afterwards(heading, lines)}\nawait client.removeAllChannels()\nawait client.disconnect()\n`
  const file = fileURLToPath(new URL(`snippet-${n}.mts`, folder))
  await writeFile(file, program)
  const env = { ...process.env, ANON_KEY: database.node.anonKey, DATABASE_URL: database.databaseUrl }
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', file], {
    env,
    cwd: fileURLToPath(root),
    timeout: 20_000,
  })
  return stdout.trim().split('\n')
}

/** What each prints, in the order of the README. */
const PRINTED: readonly [heading: string, lines: readonly string[]][] = [
  ['Creating a channel', ['Connected!', 'The channel was closed.']],
  ['Broadcast', ["received { hello: 'world' }"]],
  ['Broadcast', ['{ success: true }']],
  ['Presence', ['online []', 'joined user-1 1', "online [ 'user-1' ]", 'left user-1 1', 'online []']],
  [
    'Postgres changes',
    [
      'Ready to receive database changes!',
      'in public: INSERT messages',
      "new message: { id: 1, body: 'hello' }",
      'in public: UPDATE users',
      'in public: UPDATE users',
      'renamed: { id: 1 }',
    ],
  ],
  ['Get all channels', ['2']],
  ['Cleanup', ['0']],
]

describe('README.md', async () => {
  const all = await snippets()
  const setup = all[0]!.code.slice(0, all[0]!.code.indexOf('const channel'))

  test('has a test for each snippet', () => {
    expect(all.map(({ heading }) => heading)).toEqual(PRINTED.map(([heading]) => heading))
  })

  test.each(PRINTED.map(([heading, lines], n) => ({ n, heading, lines })))('$n: $heading', { timeout: 30_000 }, async ({ n, lines }) => {
    expect(await run(n, all[n]!, setup, lines.length)).toEqual(lines)
  })
})
