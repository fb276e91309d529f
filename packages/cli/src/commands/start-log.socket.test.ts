/** What a server at the usual level writes while everything that must not be written goes through it. */
import { once } from 'node:events'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox } from '../../test/cli-process.ts'
import { signJwt } from '../jwt.ts'

const secret = 'a-secret-that-is-only-for-these-tests'
const PAYLOAD = 'words-that-are-for-receivers-only'
const MAX_PAYLOAD_BYTES = 2_000
const frame = (...message: readonly unknown[]): string => JSON.stringify(message)

/** Kinds of decisions, each with the codes that the traffic below brings about. */
const REFUSALS: readonly (readonly [kind: string, ...codes: string[]])[] = [
  ['upgrade-refused', 'token-expired', 'token-signature', 'token-malformed'],
  ['join-refused', 'token-signature', 'too-many-channels', 'authorization-unavailable'],
  ['push-refused', 'payload-too-large'],
  ['channel-closed', 'token-expired'],
  ['frame-refused', 'malformed-json'],
  ['http-refused', 'token-expired', 'invalid-body', 'malformed-json'],
]

let sandbox: CliSandbox
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => sandbox.clear())

/** A client that hears all that it says. */
class Talker {
  readonly socket: WebSocket
  readonly #heard: string[] = []
  #wake = (): void => {}

  constructor(url: string, key: string, headers: Readonly<Record<string, string>> = {}) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${key}`, { headers })
    this.socket.on('message', (data: Buffer) => {
      this.#heard.push(data.toString('latin1'))
      this.#wake()
    })
  }

  /** Resolves when so many frames with this text have come. */
  async hears(text: string, times = 1): Promise<void> {
    while (this.#heard.filter((each) => each.includes(text)).length < times) await new Promise<void>((resolve) => (this.#wake = resolve))
  }
}

/** Version 2.0.0, a broadcast of bytes: kind 3, the lengths of its parts, encoding 0. */
function binaryBroadcast(topic: string, event: string, bytes: string): Buffer {
  const head = [3, 1, 1, topic.length, event.length, 0, 0]
  return Buffer.concat([Buffer.from(head), Buffer.from(`19${topic}${event}${bytes}`)])
}

test('codes of all that was refused; no token and no payload, whichever way they came', async () => {
  const limits = { TIDEWIRE_MAX_PAYLOAD_BYTES: String(MAX_PAYLOAD_BYTES), TENANT_MAX_CHANNELS_PER_CLIENT: '3' }
  const env = { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret, ...limits }
  const server = sandbox.start(['start'], { env })
  const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
  const url = msg.slice('listening on '.length)
  const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds
  const good = await signJwt({ role: 'authenticated', exp: inSeconds(60), note: PAYLOAD }, secret)
  const expired = await signJwt({ role: 'authenticated', exp: inSeconds(-5), note: PAYLOAD }, secret)
  const forged = `${good.slice(0, -4)}AAAA`
  const large = { text: PAYLOAD.repeat(100) }

  for (const token of [expired, forged, PAYLOAD])
    await once(new Talker(url, token, { 'x-api-key': token, authorization: `Bearer ${token}` }).socket, 'error')

  const talker = new Talker(url, good)
  await once(talker.socket, 'open')
  const room = 'realtime:room'
  talker.socket.send(frame('1', '1', room, 'phx_join', { access_token: good, config: { broadcast: { self: true, ack: true } } }))
  await talker.hears('"phx_reply"')
  talker.socket.send(frame('1', '2', room, 'broadcast', { type: 'broadcast', event: 'e', payload: { text: PAYLOAD } }))
  talker.socket.send(binaryBroadcast(room, 'bytes', PAYLOAD))
  await talker.hears(PAYLOAD, 2)
  talker.socket.send(frame('1', '3', room, 'broadcast', { type: 'broadcast', event: 'e', payload: large }))
  talker.socket.send(frame('1', '4', room, 'presence', { type: 'presence', event: 'track', payload: { name: PAYLOAD } }))
  talker.socket.send(frame('1', '5', room, PAYLOAD, { text: PAYLOAD }))
  talker.socket.send(frame('2', '6', 'realtime:closed', 'phx_join', { access_token: forged, config: { private: true } }))
  talker.socket.send(frame('3', '7', 'realtime:two', 'phx_join', { access_token: good, config: { private: true } }))
  for (const ref of ['a', 'b', 'c', 'd']) talker.socket.send(frame(ref, ref, `realtime:${ref}`, 'phx_join', {}))
  talker.socket.send(frame('1', '10', room, 'access_token', { access_token: expired }))

  const post = async (body: string, key: string, path = '/api/broadcast'): Promise<number> => {
    const headers = { apikey: key, authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    return (await fetch(url + path, { method: 'POST', headers, body })).status
  }
  const broadcast = (payload: object): string => JSON.stringify({ messages: [{ topic: 'room', event: 'e', payload }] })
  expect(await post(broadcast({ text: PAYLOAD }), good)).toBe(202)
  expect(await post(broadcast({ text: PAYLOAD }), expired)).toBe(401)
  expect(await post(broadcast(large), good)).toBeGreaterThanOrEqual(400)
  expect(await post(`{"messages": ${PAYLOAD}`, good)).toBeGreaterThanOrEqual(400)
  expect(await post('{}', good, `/api/broadcast?apikey=${good}`)).toBeGreaterThanOrEqual(400)

  const garbler = new Talker(url, good)
  await once(garbler.socket, 'open')
  garbler.socket.send(`not json but ${PAYLOAD} and ${good}`)

  for (const [kind, ...codes] of REFUSALS) for (const code of codes) await server.json((line) => line.kind === kind && line.code === code)
  const { code, stdout, stderr } = await server.stop('SIGTERM')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const parts = [good, expired, forged].flatMap((token) => token.split('.').slice(1))
  for (const hidden of [secret, PAYLOAD, Buffer.from(PAYLOAD).toString('base64url'), ...parts]) expect(stdout).not.toContain(hidden)
})
