import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
/** What a server logs of a client has the names that are in its source, and, by mistake or in despair, no token of a user. Needs the build. */
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import type * as Client from '@tidewire/client'

const published = new URL('../../packages/client/dist/tidewire.node.js', import.meta.url).href

test('a client of Node shows its name, and no token', async () => {
  const { RealtimeClient } = (await import(published)) as typeof Client
  const client = new RealtimeClient('ws://127.0.0.1:9/socket', { apikey: 'anon', accessToken: () => Promise.resolve('token-of-a-user') })
  await client.setAuth()
  expect(client.accessTokenValue).toBe('token-of-a-user')
  const shown = inspect(client, { depth: Infinity, showHidden: true })
  expect(shown).toMatch(/^RealtimeClient \{/)
  expect(shown).not.toContain('token-of-a-user')
})

test('classes have the names that they are exported under', async () => {
  const exported = Object.entries((await import(published)) as object) as [string, unknown][]
  const classes = exported.filter((entry): entry is [string, () => void] => typeof entry[1] === 'function' && /^[A-Z]/.test(entry[0]))
  expect(classes.map(([, { name }]) => name)).toEqual(classes.map(([name]) => name))
  expect(classes.map(([name]) => name)).toContain('RealtimeClient')
})

test.each([
  ['import', `const { RealtimeClient } = await import(${JSON.stringify(published)})`, 'module'],
  [
    'require',
    `const { RealtimeClient } = require(${JSON.stringify(fileURLToPath(published.replace('tidewire.node.js', 'cjs/node.js')))})`,
    'commonjs',
  ],
])('an uncaught error is a few lines of text (%s)', (_, load, type) => {
  const program = `${load}; new RealtimeClient('ws://127.0.0.1:9/realtime/v1', { apikey: undefined })`
  const { stderr, status } = spawnSync(process.execPath, [`--input-type=${type}`, '--eval', program], { encoding: 'utf8' })
  expect(status).toBe(1)
  expect(stderr).toContain('RealtimeError: API key is required to connect to Realtime')
  expect(stderr).toContain("code: 'bad-option'")
  expect(Math.max(...stderr.split('\n').map((line) => line.length))).toBeLessThan(300)
})
