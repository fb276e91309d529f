import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { jwtVerify } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'

interface Ready {
  readonly ready: true
  readonly url: string
  readonly anonKey: string
  readonly serviceKey: string
  readonly jwtSecret: string
}

let sandbox: CliSandbox
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => sandbox.clear())

const inProject = (...names: string[]): string => join(sandbox.folder, ...names)

async function startDev(...args: string[]): Promise<{ dev: CliProcess; ready: Ready }> {
  const dev = sandbox.start(['dev', '--no-db', '--port', '0', '--json', ...args])
  return { dev, ready: await dev.json<Ready>() }
}

/** A socket that was accepted. */
async function open({ url, anonKey }: Ready): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${anonKey}`)
  await once(socket, 'open')
  return socket
}

function get(
  url: string,
  headers: Record<string, string>,
): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: string }> {
  return new Promise((resolve, reject) => {
    request(url, { headers, agent: false }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode!, headers: response.headers, body }), reject)
    })
      .on('error', reject)
      .end()
  })
}

describe('dev --json', () => {
  test('prints one line with keys that the server takes, and stops on SIGINT without a trace', async () => {
    const { dev, ready } = await startDev()
    expect(Object.keys(ready).toSorted()).toEqual(['anonKey', 'jwtSecret', 'ready', 'serviceKey', 'url'])
    expect(ready.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const secret = new TextEncoder().encode(ready.jwtSecret)
    expect((await jwtVerify(ready.anonKey, secret)).payload).toMatchObject({ role: 'anon', iss: 'tidewire' })
    expect((await jwtVerify(ready.serviceKey, secret)).payload).toMatchObject({ role: 'service_role' })
    const socket = await open(ready)
    const closed = once(socket, 'close')

    const { code, stdout, stderr } = await dev.stop('SIGINT')
    expect({ code, lines: stdout.split('\n').length, stderr }).toEqual({ code: 0, lines: 2, stderr: '' })
    expect((await closed)[0]).toBe(1012)
    await expect(fetch(`${ready.url}/healthcheck`)).rejects.toThrow('fetch failed')
    expect(readdirSync(inProject('.tidewire')).toSorted()).toEqual(['.gitignore', 'keys.json'])
    expect(() => process.kill(dev.pid, 0)).toThrow('ESRCH')
  })

  test('stops on SIGTERM and SIGHUP, too', async () => {
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
      const { dev } = await startDev()
      expect((await dev.stop(signal)).code).toBe(0)
      expect(existsSync(inProject('.tidewire', 'dev.json'))).toBe(false)
    }
  })

  test('a second Ctrl-C does not wait for clients', async () => {
    const { dev, ready } = await startDev()
    const { port } = new URL(ready.url)
    // Accepted, and deaf from then on: the closing handshake stays unanswered.
    const deaf = connect(Number(port), '127.0.0.1')
    deaf.write(
      `GET /socket/websocket?vsn=2.0.0&apikey=${ready.anonKey} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    await once(deaf, 'data')
    deaf.on('error', () => {})
    const presses = setInterval(() => dev.signal('SIGINT'), 50)
    const { code } = await dev.outcome
    clearInterval(presses)
    deaf.destroy()
    expect(code).toBe(1)
    expect(existsSync(inProject('.tidewire', 'dev.json'))).toBe(false)
  })
})

describe('the keys', () => {
  test('are made once, and are of this project alone', async () => {
    const first = await startDev()
    await first.dev.stop()
    const second = await startDev()
    await second.dev.stop()
    const { url: _, ...keys } = first.ready
    expect(second.ready).toMatchObject(keys)

    mkdirSync(inProject('other'))
    const other = sandbox.start(['dev', '--no-db', '--port', '0', '--json'], { cwd: inProject('other') })
    const { jwtSecret, anonKey } = await other.json<Ready>()
    expect([jwtSecret, anonKey]).not.toContain(keys.jwtSecret)
    expect(anonKey).not.toBe(keys.anonKey)
    await other.stop()
  })

  test('are made by one of two servers that start at once, and used by both', async () => {
    const [one, two] = await Promise.all([startDev(), startDev()])
    expect(one.ready.jwtSecret).toBe(two.ready.jwtSecret)
    expect(one.ready.url).not.toBe(two.ready.url)
    expect(readdirSync(inProject('.tidewire')).toSorted()).toEqual(['.gitignore', 'dev.json', 'keys.json'])
  })

  test.skipIf(process.platform === 'win32')(
    'are for their user only: folder 700, files 600, even where others made the folder',
    async () => {
      mkdirSync(inProject('.tidewire'), { mode: 0o755 })
      await startDev()
      expect(statSync(inProject('.tidewire')).mode & 0o777).toBe(0o700)
      for (const file of ['keys.json', 'dev.json']) expect(statSync(inProject('.tidewire', file)).mode & 0o777).toBe(0o600)
    },
  )

  test.each([
    ['half a file', '{"jwtSecret":"abc', /keys\.json is damaged: remove it/],
    ['something else', '[]', /keys\.json is damaged: remove it/],
    ['nothing', '', /keys\.json is damaged: remove it/],
    [
      'keys of another secret',
      '{"jwtSecret":"0123456789abcdef","anonKey":"a.b.c","serviceKey":"a.b.c"}',
      /keys\.json are expired or not of one secret: remove it/,
    ],
  ])('that are %s are reported in one line and left alone', async (_, content, sentence) => {
    mkdirSync(inProject('.tidewire'))
    writeFileSync(inProject('.tidewire', 'keys.json'), content)
    const { code, stdout, stderr } = await sandbox.run(['dev', '--no-db', '--port', '0'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(sentence)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(readFileSync(inProject('.tidewire', 'keys.json'), 'utf8')).toBe(content)
  })
})

describe('what stands in the way is one sentence', () => {
  test('a taken port', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { port } = holder.address() as AddressInfo
    const { code, stdout, stderr } = await sandbox.run(['dev', '--no-db', '--port', String(port)])
    holder.close()
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^Port ${port} of 127.0.0.1 is taken.*\n$`))
  })

  test('a folder that cannot be written to', async () => {
    mkdirSync(inProject('locked'), { mode: 0o555 })
    // Root may write anywhere but into the kernel's own files.
    const cwd = process.getuid?.() === 0 ? '/sys/kernel' : inProject('locked')
    const { code, stderr } = await sandbox.run(['dev', '--no-db', '--port', '0'], { cwd })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Cannot write to .*\.tidewire \(E\w+\): run tidewire in a folder that you may write to\.\n$/)
  })

  test('a server that cannot leave word of itself ends, and is not left running', async () => {
    mkdirSync(inProject('.tidewire', 'dev.json'), { recursive: true })
    const { code, stdout, stderr } = await sandbox.run(['dev', '--no-db', '--port', '0'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^Cannot write to .*\.tidewire \(E\w+\): .*\n$/)
  })

  test('a file where the folder should be', async () => {
    writeFileSync(inProject('.tidewire'), '')
    const { code, stderr } = await sandbox.run(['dev', '--no-db', '--port', '0'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Cannot write to .*\.tidewire \(E\w+\).*\n$/)
  })

  test.each([
    [['--page', 'nowhere'], 1, /^--page nowhere is not a folder\.\n$/],
    [['--port', 'http'], 2, /^--port must be a whole number/],
    [['--prot', '1'], 2, /^Unknown option '--prot'\.\n.*--help/],
    [['--host', '203.0.113.7'], 1, /^Cannot listen on 203\.0\.113\.7:\d+: choose a host that is an address of this machine.* \(E\w+\)\n$/],
  ])('%j', async (args, exitCode, sentence) => {
    const { code, stdout, stderr } = await sandbox.run(['dev', '--no-db', ...(args[0] === '--port' ? [] : ['--port', '0']), ...args])
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' })
    expect(stderr).toMatch(sentence)
  })
})

describe('in a terminal', () => {
  test('it says what it is and what happens, but no key after the first lines', async () => {
    const dev = sandbox.start(['dev', '--no-db', '--port', '0'])
    const url = (await dev.line((line) => line.includes('URL'))).trim().split(/\s+/)[1]!
    const { anonKey } = JSON.parse(readFileSync(inProject('.tidewire', 'keys.json'), 'utf8')) as Ready
    await dev.line((line) => line.includes('npx tidewire send'))
    const socket = await open({ url, anonKey } as Ready)
    socket.send(JSON.stringify(['1', '1', 'realtime:room:1', 'phx_join', { config: { broadcast: { self: true } } }]))
    await dev.line((line) => / join +#1 room:1/.test(line))
    socket.send(JSON.stringify(['1', '2', 'realtime:room:1', 'broadcast', { type: 'broadcast', event: 'e', payload: {} }]))
    await dev.line((line) => /sent +room:1 1 message, 1 delivered/.test(line))
    await get(`${url}/`, { host: 'rebound.example' })
    await dev.line((line) => /refused .*rebound\.example/.test(line))
    const refused = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${anonKey}x`)
    await once(refused, 'error')
    await dev.line((line) => /refused .*signature/.test(line))
    socket.close()
    await dev.line((line) => / disconnect +#1 .*\(0 open\)/.test(line))

    const { code, stdout, stderr } = await dev.stop()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/is ready after \d+ ms/)
    expect(stdout.match(/eyJ[\w-]+\.eyJ/g)).toHaveLength(2)
  })
})

describe('pages', () => {
  test('a start page without any key, the client, and the configuration for pages of this machine only', async () => {
    const { ready } = await startDev()
    const page = await get(`${ready.url}/`, {})
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } })
    for (const secret of [ready.anonKey, ready.serviceKey, ready.jwtSecret]) expect(page.body).not.toContain(secret)

    const config = `${ready.url}/_/config.json`
    expect(JSON.parse((await get(config, {})).body)).toEqual({ url: ready.url, anonKey: ready.anonKey, database: false })
    const neighbour = await get(config, { origin: 'http://localhost:5173' })
    expect(neighbour).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': 'http://localhost:5173' } })
    for (const [name, value] of [
      ['origin', 'https://evil.example'],
      ['origin', 'null'],
      ['sec-fetch-site', 'cross-site'],
    ] as const) {
      const { status, body } = await get(config, { [name]: value })
      expect({ status, leaks: body.includes(ready.anonKey) }).toEqual({ status: 403, leaks: false })
    }
    expect((await get(config, { host: 'rebound.example' })).status).toBe(403)
    expect((await get(config, { host: 'localhost' })).status).toBe(200)
    expect((await get(`${ready.url}/_/nothing`, {})).status).toBe(404)
    expect((await fetch(config, { method: 'POST' })).status).toBe(405)
  })

  test('a folder of your own, without what is hidden in it', async () => {
    mkdirSync(inProject('.git'))
    writeFileSync(inProject('.git', 'config'), 'hidden')
    writeFileSync(inProject('index.html'), '<p>mine</p>')
    writeFileSync(inProject('app.js'), 'export {}')
    const { ready } = await startDev('--page', '.')
    expect(await get(`${ready.url}/`, {})).toMatchObject({
      status: 200,
      body: '<p>mine</p>',
      headers: { 'content-type': 'text/html; charset=utf-8' },
    })
    expect(await get(`${ready.url}/app.js`, {})).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/javascript; charset=utf-8' },
    })
    for (const path of ['/.tidewire/keys.json', '/.git/config', '/%2etidewire/keys.json', '/missing.html'])
      expect(await get(ready.url + path, {})).toMatchObject({ status: 404, body: 'Not Found' })
    expect((await get(`${ready.url}/_/config.json`, {})).status).toBe(200)
  })
})

test('--limits brings the limits of `start`, without it there are none', async () => {
  const joins = Array.from({ length: 101 }, (_, i) => JSON.stringify(['1', String(i), `realtime:t${i}`, 'phx_join', {}]))
  for (const [args, refused] of [
    [[], 0],
    [['--limits'], 1],
  ] as const) {
    const { dev, ready } = await startDev(...args)
    const socket = await open(ready)
    const replies: string[] = []
    const answered = new Promise<void>((resolve) =>
      socket.on('message', (data: Buffer) => {
        if (data.includes('phx_reply') && replies.push(data.toString()) === joins.length) resolve()
      }),
    )
    for (const join of joins) socket.send(join)
    await answered
    expect(replies.filter((reply) => reply.includes('ChannelRateLimitReached'))).toHaveLength(refused)
    await dev.stop()
  }
})
