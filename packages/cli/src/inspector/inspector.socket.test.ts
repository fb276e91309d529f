import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  ADMIN_ROLE,
  ADMIN_TOPIC,
  decodeServerFrame,
  encodeTextMessage,
  type InspectorSession,
  type Message,
  type Version,
} from '@tidewire/protocol'
import { decodeJwt } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'
import { signJwt } from '../jwt.ts'

let sandbox: CliSandbox
const sockets: WebSocket[] = []
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.terminate()
  return sandbox.clear()
})

const OWN = { 'sec-fetch-site': 'same-origin' }

interface Peer {
  readonly frames: string[]
  join(token: string | null): Promise<unknown>
  /** The next message of an event. */
  next(event: string): Promise<unknown>
}

/** A socket that speaks to the admin topic; rejects when the upgrade is refused. */
async function dial(url: string, key: string, version: Version, origin?: string): Promise<Peer> {
  const socket = new WebSocket(
    `${url.replace('http', 'ws')}/socket/websocket?vsn=${version}&apikey=${key}`,
    origin === undefined ? {} : { origin },
  )
  sockets.push(socket)
  const frames: string[] = []
  const messages: Message[] = []
  let arrived = (): void => {}
  socket.on('message', (data: Buffer) => {
    const text = data.toString()
    const decoded = decodeServerFrame(version, text)
    if (decoded.ok) messages.push(decoded.value)
    frames.push(text)
    arrived()
  })
  await once(socket, 'open')
  const until = async (matches: (message: Message) => boolean): Promise<unknown> => {
    for (;;) {
      const found = messages.find(matches)
      if (found !== undefined) {
        messages.splice(messages.indexOf(found), 1)
        return found.payload
      }
      await new Promise<void>((resolve) => (arrived = resolve))
    }
  }
  return {
    frames,
    join: (token) => {
      const payload = token === null ? {} : { access_token: token }
      socket.send(encodeTextMessage(version, { joinRef: '1', ref: '1', topic: ADMIN_TOPIC, event: 'phx_join', payload }, true))
      return until(({ event, ref }) => event === 'phx_reply' && ref === '1')
    },
    next: (event) => until((message) => message.event === event),
  }
}

describe('dev', () => {
  async function startDev(...args: string[]): Promise<{ dev: CliProcess; ready: { url: string; anonKey: string; serviceKey: string } }> {
    const dev = sandbox.start(['dev', '--no-db', '--port', '0', '--json', ...args])
    return { dev, ready: await dev.json() }
  }

  test('gives a key to its own page, and to nothing else', async () => {
    const { ready } = await startDev()
    const ask = (headers: Record<string, string>, method = 'GET'): Promise<Response> =>
      fetch(`${ready.url}/_/session.json`, { method, headers })
    const own = await ask(OWN)
    expect(own.status).toBe(200)
    expect(own.headers.get('cache-control')).toBe('no-store')
    const session = (await own.json()) as InspectorSession
    expect(session.anonKey).toBe(ready.anonKey)
    const { role, exp } = decodeJwt(session.token!)
    expect(role).toBe(ADMIN_ROLE)
    expect(exp! * 1000).toBe(session.expiresAt)
    expect(exp! - Date.now() / 1000).toBeLessThan(16 * 60)
    for (const headers of [
      {},
      { 'sec-fetch-site': 'none' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: 'http://localhost:5173' },
      { ...OWN, origin: 'http://localhost:5173' },
      { ...OWN, origin: 'null' },
    ]) {
      const refused = await ask(headers)
      expect(refused.status).toBe(403)
      expect(refused.headers.get('access-control-allow-origin')).toBeNull()
      expect(await refused.text()).toMatch(/^The inspector is for its own page only/)
    }
    expect((await ask(OWN, 'POST')).status).toBe(405)
    expect((await fetch(`${ready.url}/_/session.json`, { headers: { ...OWN, host: 'evil.example' } })).status).toBe(200)
    expect((await fetch(`${ready.url}/_`, { redirect: 'manual' })).headers.get('location')).toBe('/_/')
    expect((await fetch(`${ready.url}/_/config.json`)).status).toBe(200)
    expect((await fetch(`${ready.url}/_/nothing`)).status).toBe(404)
  })

  test('shows the page under a policy that names what runs', async () => {
    const { ready } = await startDev()
    const page = await fetch(`${ready.url}/_/`)
    const text = await page.text()
    if (page.status === 503) return expect(text).toBe('The inspector is not built yet: run `npm run build`.\n')
    const policy = page.headers.get('content-security-policy')
    expect(policy).toMatch(/script-src 'sha256-[^']+'/)
    expect(policy).not.toContain('unsafe')
    expect(text).not.toContain('eyJ')
  })

  test('keeps the secret of admin keys with the other keys, for the user alone', async () => {
    const { dev, ready } = await startDev()
    expect(Object.keys(ready)).not.toContain('adminSecret')
    await dev.stop()
    const file = join(sandbox.folder, '.tidewire', 'keys.json')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const keys = JSON.parse(readFileSync(file, 'utf8')) as { adminSecret: string; jwtSecret: string }
    expect(keys.adminSecret.length).toBeGreaterThan(40)
    expect(keys.adminSecret).not.toBe(keys.jwtSecret)
    const { stdout } = await sandbox.run(['token', '--admin', '--exp', '5m'])
    expect(decodeJwt(stdout.trim()).role).toBe(ADMIN_ROLE)
  })

  test.each(['1.0.0', '2.0.0'] as const)('lets in its inspector only, and names the reason of each refusal (%s)', async (version) => {
    const { ready } = await startDev()
    const { adminSecret } = JSON.parse(readFileSync(join(sandbox.folder, '.tidewire', 'keys.json'), 'utf8')) as { adminSecret: string }
    const session = (await (await fetch(`${ready.url}/_/session.json`, { headers: OWN })).json()) as InspectorSession
    const key = session.token!
    const expired = await signJwt({ role: ADMIN_ROLE, exp: Math.floor(Date.now() / 1000) - 30 }, adminSecret)
    const inspector = await dial(ready.url, key, version, ready.url)
    expect(await inspector.join(null)).toMatchObject({ status: 'ok', response: { sql: false, database: false } })
    expect(await inspector.next('admin_state')).toMatchObject({ connections: [{ role: ADMIN_ROLE }] })

    const client = await dial(ready.url, ready.anonKey, version)
    const refusals: [string | null, string][] = [
      [null, 'AdminKeyInvalid'],
      ['', 'AdminKeyMissing'],
      [ready.serviceKey, 'AdminKeyInvalid'],
      [expired, 'AdminKeyExpired'],
    ]
    for (const [token, code] of refusals)
      expect(await client.join(token)).toMatchObject({
        status: 'error',
        response: { reason: expect.stringMatching(`^${code}: `) as string },
      })
    const foreign = await dial(ready.url, key, version, 'http://localhost:5173')
    expect(await foreign.join(key)).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching('^ForeignOrigin: ') as string },
    })
    await expect(dial(ready.url, expired, version)).rejects.toThrow('401')

    const decisions = new Set<string>()
    while (decisions.size < 4) {
      const { rows } = (await inspector.next('admin_log')) as { rows: { kind: string; event: string }[] }
      for (const row of rows) if (row.kind === 'decision') decisions.add(row.event)
    }
    expect([...decisions].toSorted()).toEqual(['admin-key-expired', 'admin-key-invalid', 'admin-key-missing', 'admin-origin'])
    expect(await inspector.next('admin_tick')).toMatchObject({ healthy: true, connections: 3 })
    // No frame holds a token.
    expect(inspector.frames.join('')).not.toContain('eyJ')
    expect(client.frames.some((frame) => frame.includes('admin_'))).toBe(false)
  })

  test('where other machines may ask, gives no key away', async () => {
    const { ready } = await startDev('--host', '0.0.0.0')
    const session = (await (await fetch(`${ready.url}/_/session.json`, { headers: OWN })).json()) as InspectorSession
    expect(session).toEqual({ token: null, expiresAt: null, anonKey: ready.anonKey })
  })
})

describe('start', () => {
  const API = 'a secret for this test only'
  const ADMIN = 'another secret for this test only'
  const environment = { API_JWT_SECRET: API, PORT: '0', HOST: '127.0.0.1' }

  async function startServer(more: Record<string, string>): Promise<string> {
    const server = sandbox.start(['start'], { env: { ...environment, ...more } })
    const line = await server.line((text) => text.includes('listening on'))
    return /listening on ([^\s"]+)/.exec(line)![1]!
  }

  test('has no inspector unless it is asked for', async () => {
    const url = await startServer({ TIDEWIRE_ADMIN_SECRET: ADMIN })
    for (const path of ['/_/', '/_/session.json']) expect((await fetch(url + path, { headers: OWN })).status).toBe(404)
    const key = await signJwt({ role: ADMIN_ROLE, exp: Math.floor(Date.now() / 1000) + 60 }, ADMIN)
    await expect(dial(url, key, '2.0.0')).rejects.toThrow('401')
    const anon = await signJwt({ role: 'anon', exp: Math.floor(Date.now() / 1000) + 60 }, API)
    expect(await (await dial(url, anon, '2.0.0')).join(key)).toEqual({ status: 'error', response: { reason: 'unmatched topic' } })
  })

  test('with it, a visitor brings a key that `tidewire token --admin` makes', async () => {
    const url = await startServer({ TIDEWIRE_INSPECTOR: 'true', TIDEWIRE_ADMIN_SECRET: ADMIN })
    const session = await fetch(`${url}/_/session.json`, { headers: OWN })
    expect(await session.json()).toEqual({ token: null, expiresAt: null, anonKey: null })
    const { stdout } = await sandbox.run(['token', '--admin'], { env: { TIDEWIRE_ADMIN_SECRET: ADMIN } })
    const inspector = await dial(url, stdout.trim(), '2.0.0', url)
    expect(await inspector.join(null)).toMatchObject({ status: 'ok', response: { sql: false } })
  })

  test('a secret is asked for, and must not be that of the clients', async () => {
    const missing = await sandbox.run(['start'], { env: { ...environment, TIDEWIRE_INSPECTOR: 'true' } })
    expect(missing.stderr).toContain('TIDEWIRE_ADMIN_SECRET: is missing')
    const same = await sandbox.run(['start'], { env: { ...environment, TIDEWIRE_INSPECTOR: 'true', TIDEWIRE_ADMIN_SECRET: API } })
    expect(same.stderr).toContain('TIDEWIRE_ADMIN_SECRET: must differ from API_JWT_SECRET')
  })
})
