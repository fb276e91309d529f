/** The TypeScript snippets of the README, as printed, against a real server. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startNode, type RunningNode } from '@tidewire/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = new URL('../../../', import.meta.url)
const folder = new URL('node_modules/.cache/readme/', root)

let node: RunningNode
beforeAll(async () => {
  node = await startNode()
  await mkdir(folder, { recursive: true })
})
afterAll(() => node.stop())

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

async function run(n: number, { code }: Snippet, setup: string): Promise<string[]> {
  const program = `${code.replace(SETUP, setup).replace(SERVER_URL, JSON.stringify(node.socketUrl))}\nawait client.removeAllChannels()\nawait client.disconnect()\n`
  const file = fileURLToPath(new URL(`snippet-${n}.mts`, folder))
  await writeFile(file, program)
  const env = { ...process.env, ANON_KEY: node.anonKey }
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
    expect(await run(n, all[n]!, setup)).toEqual(lines)
  })
})
