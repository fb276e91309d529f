import { mkdirSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'
import { isJwtFor } from '../jwt.ts'

let sandbox: CliSandbox
let dev: CliProcess
let ready: { readonly url: string; readonly anonKey: string; readonly jwtSecret: string }

beforeAll(async () => {
  sandbox = new CliSandbox()
  dev = sandbox.start(['dev', '--no-db', '--port', '0', '--json'])
  ready = await dev.json()
})
afterAll(() => sandbox.clear())

async function listening(topic: string, ...args: string[]): Promise<CliProcess> {
  const listener = sandbox.start(['listen', topic, '--json', ...args])
  await listener.json((line) => line.type === 'subscribed')
  return listener
}

function linesOf(stdout: string): any[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown)
}

describe('send and listen', () => {
  test('two that listen get what one sends, each once', async () => {
    const listeners = await Promise.all([listening('room:1', '--count', '2'), listening('room:1', '--count', '2')])
    expect(await sandbox.run(['send', 'room:1', 'hello', '{"text":"hi"}'])).toEqual({
      code: 0,
      stdout: 'Sent hello to room:1: 2 subscribers on this server received it.\n',
      stderr: '',
    })
    expect(await sandbox.run(['send', 'room:1', 'bye', '--json'])).toEqual({
      code: 0,
      stdout: '{"sent":true,"topic":"room:1","event":"bye","receivers":2}\n',
      stderr: '',
    })
    for (const listener of listeners) {
      const { code, stdout, stderr } = await listener.outcome
      expect({ code, stderr, lines: linesOf(stdout) }).toEqual({
        code: 0,
        stderr: '',
        lines: [
          { type: 'subscribed', topic: 'room:1' },
          { type: 'broadcast', topic: 'room:1', event: 'hello', payload: { text: 'hi' } },
          { type: 'broadcast', topic: 'room:1', event: 'bye', payload: {} },
        ],
      })
    }
  })

  test('--event picks, stdin gives the payload, Ctrl-C ends with 0', async () => {
    const listener = await listening('room:2', '--event', 'wanted')
    expect((await sandbox.run(['send', 'room:2', 'other', '{}'])).code).toBe(0)
    expect((await sandbox.run(['send', 'room:2', 'wanted', '-'], { input: '{"from":"stdin"}' })).code).toBe(0)
    await listener.json((line) => line.event === 'wanted')
    const { code, stdout } = await listener.stop()
    expect({ code, lines: linesOf(stdout).slice(1) }).toEqual({
      code: 0,
      lines: [{ type: 'broadcast', topic: 'room:2', event: 'wanted', payload: { from: 'stdin' } }],
    })
  })

  test('for people: a line each, and nothing that commands the terminal', async () => {
    const listener = sandbox.start(['listen', 'room:3', '--count', '1', '--url', ready.url, '--key', ready.anonKey])
    const sender = await listening('room:3')
    // Both have joined only when the first gets what is sent; sending repeats until then.
    const sending = setInterval(() => void post('room:3', 'evil', { text: '\u001b[2J\u202e' }), 100)
    const { code, stdout } = await listener.outcome
    clearInterval(sending)
    await sender.stop()
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d {2}evil {2}\{"text":"\\u001b\[2J\\u202e"\}\n$/)
  })

  test('bytes are shown as bytes', async () => {
    const listener = await listening('room:4', '--count', '1')
    const url = `${ready.url}/api/broadcast/room%3A4/events/bytes`
    const headers = { apikey: ready.anonKey, 'content-type': 'application/octet-stream' }
    expect((await fetch(url, { method: 'POST', headers, body: new Uint8Array([0, 255, 1]) })).status).toBe(202)
    const { stdout } = await listener.outcome
    expect(linesOf(stdout)[1]).toMatchObject({ type: 'broadcast', event: 'bytes', payloadBase64: 'AP8B' })
  })

  test('run in a folder below the project, and with the environment instead of options', async () => {
    const below = join(sandbox.folder, 'a', 'b')
    mkdirSync(below, { recursive: true })
    expect((await sandbox.run(['send', 'room:5', 'x'], { cwd: below })).code).toBe(0)
    const env = { TIDEWIRE_URL: `${ready.url}/socket`, TIDEWIRE_KEY: ready.anonKey }
    expect((await sandbox.run(['send', 'room:5', 'x'], { cwd: '/', env })).code).toBe(0)
  })

  test.skipIf(process.platform === 'win32')('a reader that goes away first is no fault', async () => {
    const listener = await listening('room:6')
    listener.closeStdout()
    const sending = setInterval(() => void post('room:6', 'x', {}), 100)
    const { code, stderr } = await listener.outcome
    clearInterval(sending)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })
})

function post(topic: string, event: string, payload: object): Promise<Response> {
  return fetch(`${ready.url}/api/broadcast`, {
    method: 'POST',
    headers: { apikey: ready.anonKey, 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ topic, event, payload }] }),
  })
}

describe('presence', () => {
  test('shows joins and leaves, and leaves on Ctrl-C', async () => {
    const watcher = sandbox.start(['presence', 'room:7', '--json'])
    await watcher.json((line) => line.type === 'subscribed')
    const ada = sandbox.start(['presence', 'room:7', '--as', 'ada', '--track', '{"name":"Ada"}'])
    await ada.line((line) => line === '+ ada  {"name":"Ada"}')
    expect(await watcher.json((line) => line.type === 'join')).toMatchObject({ key: 'ada', presences: [{ name: 'Ada' }] })
    await watcher.json((line) => line.type === 'sync' && 'ada' in line.state)
    expect((await ada.stop()).code).toBe(0)
    expect(await watcher.json((line) => line.type === 'leave')).toMatchObject({ key: 'ada', presences: [{ name: 'Ada' }] })
    expect((await watcher.stop('SIGTERM')).code).toBe(0)
  })
})

describe('what goes wrong is said', () => {
  test.each([
    [['send', 't', 'e', '{"a":x}'], 2, "PAYLOAD is not JSON: Unexpected token 'x' (line 1, column 6)."],
    [['send', 't', 'e', '[1]'], 2, 'PAYLOAD must be a JSON object'],
    [['send', 't'], 2, 'EVENT is missing.'],
    [['presence', 't', '--track', '{'], 2, '--track is not JSON:'],
    [['listen', 't', '--count', '0'], 2, '--count must be a whole number above 0'],
    [['listen', 't', '--url', 'nonsense', '--key', 'k'], 2, '--url must be a URL'],
    [['listen', 't', '--url', 'ftp://h', '--key', 'k'], 2, '--url must begin with http://'],
    [['listen', 't', '--url', 'http://h.example'], 2, '--key is missing: http://h.example needs one.'],
    [['listen', 't', '--timeout', '10'], 2, '--timeout must be a duration up to 1h, such as 10s'],
    [['listen', 't', '--key', 'not-a-token'], 1, 'refused the connection (401): The token provided is not a valid JWT.'],
    [['send', 't', 'e', '--key', 'not-a-token'], 1, 'refused the broadcast (401)'],
    [['listen', 't', '--private'], 1, 'did not let us join t: Unauthorized'],
    [['unknown'], 2, 'There is no command "unknown"'],
    [[], 2, 'tidewire dev'],
  ])('%j', async (args, exitCode, sentence) => {
    const { code, stdout, stderr } = await sandbox.run(args)
    expect(stderr).toContain(sentence)
    expect({ code, stdout, isTrace: /\n\s+at /.test(stderr) }).toEqual({ code: exitCode, stdout: '', isTrace: false })
  })

  test('no server in this project, or one that was killed', async () => {
    const elsewhere = join(sandbox.folder, '..')
    const sentence = 'No server runs in this project: start one with `tidewire dev`, or say where it is with --url and --key.\n'
    expect(await sandbox.run(['listen', 't'], { cwd: elsewhere })).toEqual({ code: 1, stdout: '', stderr: sentence })

    const other = new CliSandbox()
    const killed = other.start(['dev', '--no-db', '--port', '0', '--json'])
    await killed.json()
    await killed.kill()
    expect(await sandbox.run(['send', 't', 'e'], { cwd: other.folder })).toEqual({ code: 1, stdout: '', stderr: sentence })
    writeFileSync(join(other.folder, '.tidewire', 'dev.json'), 'damaged')
    expect((await sandbox.run(['send', 't', 'e'], { cwd: other.folder })).stderr).toBe(sentence)
    await other.clear()
  })

  test.each([
    ['listen', 't'],
    ['send', 't', 'e'],
  ])('no server on the port: %s', async (...args) => {
    const gone = createServer().listen(0, '127.0.0.1')
    await once(gone, 'listening')
    const url = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`
    gone.close()
    await once(gone, 'close')
    expect(await sandbox.run([...args, '--url', url, '--key', 'k'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `No server answers at ${url} (ECONNREFUSED): start one with \`tidewire dev\`, or say where it is with --url.\n`,
    })
  })

  test.each([['migrate'], ['doctor'], ['slot', 'list'], ['sql', 'select 1']])('no database answers: %s', async (...args) => {
    const { code, stdout, stderr } = await sandbox.run([...args, '--db', 'postgres://u:hidden-password@127.0.0.1:9/name'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^Cannot use the database 127\.0\.0\.1:9\/name: [^\n]*ECONNREFUSED[^\n]*\. Check its URL, and that [^\n]*\.\n$/)
  })

  // The name is one that no network knows.
  test.each([
    [['listen', 't'], 'url', /^No server answers at http:\/\/nowhere\.invalid \((ENOTFOUND|EAI_AGAIN)\): [^\n]*--url\.\n$/],
    [['send', 't', 'e'], 'url', /^No server answers at http:\/\/nowhere\.invalid \((ENOTFOUND|EAI_AGAIN)\): [^\n]*--url\.\n$/],
    [['doctor'], 'db', /^Cannot use the database nowhere\.invalid\/name: [^\n]*(ENOTFOUND|EAI_AGAIN)[^\n]*\. Check its URL, [^\n]*\n$/],
  ])('no network: %j', async (args, place, sentence) => {
    const where =
      place === 'url' ? ['--url', 'http://nowhere.invalid', '--key', 'k'] : ['--db', 'postgres://u:hidden-password@nowhere.invalid/name']
    const { code, stdout, stderr } = await sandbox.run([...args, ...where])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(sentence)
  })

  test('what takes longer than two seconds says that it goes on', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const server = ['--url', `http://127.0.0.1:${port}`, '--key', 'k', '--timeout', '4s']
    const asked = [
      ['listen', 't', ...server],
      ['listen', '--changes', 'todos', ...server],
      ['presence', 't', ...server],
    ]
    const all = [
      ...asked,
      ['send', 't', 'e', ...server],
      ...['doctor', 'slot list', 'sql 1'].map((words) => [...words.split(' '), '--db', `postgres://u@127.0.0.1:${port}/name`]),
    ]
    const started = all.map((args) => sandbox.start(args))
    const codes = await Promise.all(started.map(async ({ outcome }) => (await outcome).code))
    silent.close()
    expect(started.map(({ stderr }, at) => `${codes[at]} ${stderr.split(':')[0]!}`)).toEqual([
      ...['1 Joining', '1 Joining', '1 Joining', '1 Sending'],
      ...['1 Asking the database', '1 Asking the database', '1 Running'],
    ])
    for (const { stderr } of started) expect(stderr).toMatch(/^([A-Z][a-z ]+: \d+ s so far\n)+[^\n]+\n$/)
  })

  test('a server that accepts and says nothing', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
    const { code, stderr } = await sandbox.run(['listen', 't', '--url', url, '--key', 'k', '--timeout', '1s'])
    silent.close()
    expect(code).toBe(1)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).toContain(url)
  })

  test('a server that goes away and comes back is waited for', async () => {
    const project = new CliSandbox()
    const first = project.start(['dev', '--no-db', '--port', '0', '--json'])
    const { url } = await first.json<{ url: string }>()
    const listener = project.start(['listen', 'room:8', '--json', '--count', '1'])
    await listener.json((line) => line.type === 'subscribed')
    await first.stop()
    await listener.json((line) => line.type === 'interrupted')
    const second = project.start(['dev', '--no-db', '--port', new URL(url).port, '--json'])
    await second.json()
    const sending = setInterval(() => void project.run(['send', 'room:8', 'back']), 500)
    const { code, stdout } = await listener.outcome
    clearInterval(sending)
    expect({ code, last: linesOf(stdout).at(-1) }).toMatchObject({ code: 0, last: { type: 'broadcast', event: 'back' } })
    await project.clear()
  })
})

describe('token', () => {
  test('makes what the server of the project takes', async () => {
    const { stdout } = await sandbox.run(['token', '--role', 'authenticated', '--sub', 'u1', '--json'])
    const { token, expiresAt } = JSON.parse(stdout) as { token: string; expiresAt: number }
    expect(expiresAt).toBeGreaterThan(Date.now() / 1000 + 3_500)
    const socket = new WebSocket(`${ready.url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${token}`)
    await once(socket, 'open')
    socket.close()
  })

  test('signs with --secret, else with API_JWT_SECRET, else with the key of the project', async () => {
    const env = { API_JWT_SECRET: 'from-the-environment' }
    const made = async (args: string[], options = {}): Promise<string> =>
      (await sandbox.run(['token', '--role', 'anon', '--claims', '{"iat":1,"exp":2}', ...args], options)).stdout
    const [given, fromEnvironment, ofProject] = [
      await made(['--secret', 'given-as-an-option'], { env }),
      await made([], { env }),
      await made([]),
    ]
    expect(given).toMatch(/^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+\n$/)
    expect(given).toBe(await made(['--secret', 'given-as-an-option']))
    expect(fromEnvironment).toBe(await made(['--secret', 'from-the-environment']))
    expect(ofProject).toBe(await made(['--secret', ready.jwtSecret]))
  })

  test.each([
    [['--role', 'anon', '--secret', ''], 'The secret to sign with is empty.'],
    [
      ['--role', 'anon', '--secret', 'short'],
      'The secret to sign with has 5 bytes; a server takes none under 16. `tidewire keys` makes one that is long enough.',
    ],
    [['--sub', 'u1'], '--role is missing: give the role in Postgres, such as --role authenticated, or --admin.'],
  ])('%j is a wrong usage', async (args, sentence) => {
    const { code, stderr } = await sandbox.run(['token', ...args])
    expect({ code, first: stderr.split('\n')[0] }).toEqual({ code: 2, first: sentence })
  })

  test('says where a secret could come from', async () => {
    const { code, stderr } = await sandbox.run(['token', '--role', 'anon'], { cwd: '/' })
    expect(code).toBe(2)
    expect(stderr).toMatch(/--secret, set API_JWT_SECRET, or run `tidewire dev`/)
  })
})

describe('keys', () => {
  test('makes secrets and the two keys of clients, which the secret verifies', async () => {
    const { code, stdout } = await sandbox.run(['keys', '--json'], { cwd: '/' })
    const made = JSON.parse(stdout) as Record<string, string>
    expect({ code, names: Object.keys(made) }).toEqual({
      code: 0,
      names: ['API_JWT_SECRET', 'METRICS_JWT_SECRET', 'TIDEWIRE_ADMIN_SECRET', 'ANON_KEY', 'SERVICE_ROLE_KEY'],
    })
    expect(await isJwtFor('anon', made['ANON_KEY']!, made['API_JWT_SECRET']!)).toBe(true)
    expect(await isJwtFor('service_role', made['SERVICE_ROLE_KEY']!, made['API_JWT_SECRET']!)).toBe(true)
    const again = await sandbox.run(['keys', '--json'], { cwd: '/', env: { API_JWT_SECRET: made['API_JWT_SECRET']! } })
    expect((JSON.parse(again.stdout) as Record<string, string>)['API_JWT_SECRET']).toBe(made['API_JWT_SECRET'])
    const text = (await sandbox.run(['keys'], { cwd: '/' })).stdout
    for (const name of Object.keys(made)) expect(text).toMatch(new RegExp(`^${name}=\\S{40,}$`, 'm'))
  })

  test('a secret that is too short for HS256 is refused, and not shown', async () => {
    const { code, stdout, stderr } = await sandbox.run(['keys', '--secret', 'short-and-hidden'], { cwd: '/' })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^The secret must have at least 32 bytes\./)
    expect(stderr).not.toContain('short-and-hidden')
  })
})

test('a token signed with the key of the dev project says so, for clients and for the inspector', async () => {
  for (const args of [['--role', 'anon'], ['--admin']]) {
    const signed = await sandbox.run(['token', ...args])
    expect(signed).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Signed with the key of the dev server in \.tidewire\//) })
    expect((await sandbox.run(['token', ...args, '--secret', 'a-secret-of-its-own'])).stderr).toBe('')
  }
})
