/** The quick start, word for word, in a clone that is not built. It asks npm for what `npm ci` asks for, and for nothing more. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { useTerminal } from '../terminal-program.ts'
import { pathOf, runPages } from './pages.ts'

const page = runPages().find(({ path }) => path === 'docs/quick-start.md')!
const { folder, run: runIn } = useTerminal()
const clone = join(folder, 'tidewire')
const run = (command: string, env?: Readonly<Record<string, string>>): ReturnType<typeof runIn> => runIn(command, clone, env)

test('a fresh clone follows the quick start', async () => {
  execFileSync('git', ['clone', '--quiet', pathOf('.'), clone])
  const [install = '', start = ''] = blockWith('npm ci').split(' && ')
  expect([install, start]).toEqual(['npm ci', 'npm start'])
  execFileSync('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: clone, stdio: 'pipe' })
  const server = run(`exec ${start} -- --port 0 --json`)
  const { url, anonKey } = JSON.parse(await server.line(/^\{/)) as { readonly url: string; readonly anonKey: string }

  const listener = run(`exec ${blockWith('tidewire listen')}`)
  await listener.line(/^Listening to lobby /)
  await run(`exec ${blockWith('tidewire send')}`).end()
  expect(await listener.line(/hello/)).toContain('{"from":"the terminal"}')

  await run(`exec ${blockWith('create table')}`).end()
  writeFileSync(join(clone, 'listen.mjs'), blockWith('new RealtimeClient').replace('127.0.0.1:4000', new URL(url).host))
  const program = run('exec node listen.mjs', { ANON_KEY: anonKey })
  const [first = '', second = ''] = blockWith('new row {').split('\n')
  expect(await program.line(/./)).toBe(first)
  await run(`exec ${blockWith('insert into')}`).end()
  expect(await program.line(/new row/)).toBe(second)
  expect((await fetch(`${url}/_/`)).status).toBe(200)
})

function blockWith(text: string): string {
  const found = page.blocks.find(({ code }) => code.includes(text))
  if (found === undefined) throw new Error(`the quick start has nothing with ${text}`)
  return found.code
}
