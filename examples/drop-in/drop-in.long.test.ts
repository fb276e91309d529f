/** Does what the README of this example says, in a temporary folder: needs the build, npm, and a Postgres. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliSandbox } from '../../packages/cli/test/cli-process.ts'
import { packTarballs } from '../../scripts/publish/tarballs.ts'

const example = fileURLToPath(new URL('.', import.meta.url))
const files = ['package.json', 'app.mjs', 'app.cjs', 'program.cjs']

const folder = mkdtempSync(join(tmpdir(), 'tidewire-drop-in-'))
const sandbox = new CliSandbox()
let env: Record<string, string>

beforeAll(async () => {
  const dev = sandbox.start(['dev', '--port', '0', '--json'])
  for (const file of files) cpSync(join(example, file), join(folder, file))
  renameSync(packTarballs(['client'], folder).client.path, join(folder, 'tidewire-client.tgz'))
  // What is in npm's cache is taken from there: it needs the network the first time only.
  const installed = await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'])
  expect(installed).toMatchObject({ code: 0 })

  const { url, anonKey } = await dev.json<{ url: string; anonKey: string }>()
  const sql = `create table messages (id serial primary key, body text);
    create policy "members" on realtime.messages for all to authenticated using (realtime.topic() = 'members') with check (realtime.topic() = 'members')`
  expect(await sandbox.run(['sql', sql])).toMatchObject({ code: 0 })
  const { stdout: token } = await sandbox.run(['token', '--role', 'authenticated', '--sub', 'ada'])
  env = { SUPABASE_URL: url, SUPABASE_ANON_KEY: anonKey, USER_TOKEN: token.trim() }
}, 120_000)

afterAll(async () => {
  await sandbox.clear()
  rmSync(folder, { recursive: true, force: true })
})

test('supabase-js has our client under it, and nothing of the old one', () => {
  const under = createRequire(join(folder, 'node_modules/@supabase/supabase-js/package.json'))
  const manifest = JSON.parse(readFileSync(under.resolve('@supabase/realtime-js/package.json'), 'utf8')) as { readonly name: string }
  expect(manifest.name).toBe('@tidewire/client')
  expect(() => under.resolve('@supabase/phoenix')).toThrow(/Cannot find module/)
})

test.each(['app.mjs', 'app.cjs'])(
  '%s: broadcast, presence, HTTP, a private channel and row changes; then the process ends by itself',
  async (app) => {
    let toldMs = 0
    const { code, lines, errors } = await run(process.execPath, [app], (line) => {
      toldMs = performance.now()
      if (line.endsWith('"messages"')) void sandbox.run(['sql', `insert into messages (body) values ('from SQL')`])
    })
    expect(lines.map((line) => line.replace(/"id":\d+/, '"id":1'))).toEqual([
      'broadcast: Hello',
      'presence: Ada is here as ada',
      'httpSend: Hello over HTTP',
      'private: Psst',
      'changes: waiting for an insert into "messages"',
      'changes: INSERT {"id":1,"body":"from SQL"}',
      'removed: ok,ok,ok',
    ])
    // supabase-js itself has something to say about Node 20.
    expect({ code, errors: errors.replace(/^.*Node\.js 20 and below are deprecated.*\n/, '') }).toEqual({ code: 0, errors: '' })
    // realtime-js would keep it for ten seconds.
    expect(performance.now() - toldMs).toBeLessThan(5_000)
  },
  60_000,
)

interface Outcome {
  readonly code: number | null
  readonly lines: readonly string[]
  readonly errors: string
}

/** Runs a program in the folder to its end. `onLine` gets each line that it prints. */
async function run(command: string, args: readonly string[], onLine: (line: string) => void = () => {}): Promise<Outcome> {
  const options = { cwd: folder, env: { ...process.env, ...env }, shell: process.platform === 'win32', timeout: 60_000 }
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  let errors = ''
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    onLine(line)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, lines, errors }
}
