/** The command as a user would get it from npm: tarballs in an empty folder, what they need with an empty cache. Needs the build. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { useTerminal } from '../../packages/cli/test/terminal-program.ts'
import { packTarballs } from './tarballs.ts'

const { folder, run: runIn } = useTerminal()
const project = join(folder, 'project')
const run = (command: string): ReturnType<typeof runIn> => runIn(command, project)

test('installs from tarballs, starts, sends and listens, and leaves nothing but its folder', async () => {
  const tarballs = Object.values(packTarballs(['protocol', 'client', 'server', 'postgres', 'nats', 'cli'], folder))
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true }\n')
  const quietly = ['--cache', join(folder, 'cache'), '--no-audit', '--no-fund', '--loglevel=error']
  execFileSync('npm', ['install', ...quietly, ...tarballs.map(({ path }) => path)], { cwd: project, stdio: 'pipe' })

  const server = run('exec npx tidewire dev --port 0 --json')
  const { url } = JSON.parse(await server.line(/^\{/)) as { readonly url: string }
  const listener = run('exec npx tidewire listen room --count 1')
  await listener.line(/^Listening to room /)
  await run(`exec npx tidewire send room hello '{"from":"a tarball"}'`).end()
  expect(await listener.line(/hello/)).toContain('{"from":"a tarball"}')
  await listener.end()

  await run('exec npx tidewire sql "create table todos (id int primary key)"').end()
  const changes = run('exec npx tidewire listen --changes public.todos --count 1')
  await changes.line(/^Listening to changes/)
  await run('exec npx tidewire sql "insert into todos values (7)"').end()
  expect(await changes.line(/INSERT/)).toContain('{"id":7}')

  for (const path of ['/', '/_/', '/_/client.js']) expect([path, (await fetch(`${url}${path}`)).status]).toEqual([path, 200])

  // npm itself ends by the signal: what is left shows whether the server ended well.
  await server.stop()
  expect(readdirSync(project).toSorted()).toEqual(['.tidewire', 'node_modules', 'package-lock.json', 'package.json'])
  expect(existsSync(join(project, '.tidewire', 'dev.json'))).toBe(false)
  expect(processesIn(folder)).toEqual([])
})

/** Command lines that name the folder, where the system lists them. */
function processesIn(path: string): string[] {
  if (!existsSync('/proc/self/cmdline')) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => commandLineOf(pid))
    .filter((line) => line.includes(path))
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    // It has just ended.
    return ''
  }
}
