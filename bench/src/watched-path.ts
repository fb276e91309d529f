/**
 * What an inspector adds to one message, in one process and without sockets: the same server with and without one, in
 * short turns, so that a busy machine hurts both alike. Prints nanoseconds of CPU per message.
 */
import { Server, allObservers, metricsObserver, noLimits, resolveOptions, type Runtime } from '@tidewire/server'
import { ADMIN_ROLE } from '@tidewire/protocol'
import { median } from './statistics.ts'

const SUBSCRIBERS = 100
const MESSAGES = 2_000
const TURNS = 200

const runtime: Runtime = {
  now: () => Date.now(),
  uptime: () => performance.now(),
  setTimer: (callback, afterMs) => {
    const timer = setTimeout(callback, afterMs)
    return { cancel: () => clearTimeout(timer) }
  },
  endOfTurn: (callback) => void setImmediate(callback),
  loopUtilization: () => 0,
  randomBytes: (size) => new Uint8Array(size),
}
const exp = Math.floor(Date.now() / 1000) + 3_600
const verifier = (role: string) => ({ verify: () => Promise.resolve({ ok: true, claims: { role, exp } } as const) })

const { observer } = metricsObserver()
const server = new Server(resolveOptions({ limits: noLimits }), {
  runtime,
  verifier: verifier('anon'),
  observer: allObservers([observer]),
  admin: { verifier: verifier(ADMIN_ROLE), version: 'bench' },
})
const connect = (): ReturnType<Server['accept']> =>
  server.accept(
    { version: '2.0.0', token: 't', headers: {} },
    { write: () => {}, backlogBytes: () => 0, close: () => {}, terminate: () => {} },
  )
const frame = (topic: string, event: string, payload: object): Buffer => Buffer.from(JSON.stringify(['1', '1', topic, event, payload]))
const settled = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 5))

const connections = Array.from({ length: SUBSCRIBERS }, connect)
for (const connection of connections) connection.receive(frame('realtime:room', 'phx_join', {}), false)
const inspector = connect()
await settled()
const message = frame('realtime:room', 'broadcast', { type: 'broadcast', event: 'e', payload: { text: 'x'.repeat(150) } })

/** Nanoseconds of CPU per message: 20 in a turn of the event loop. */
async function turn(): Promise<number> {
  const before = process.cpuUsage()
  for (let sent = 0; sent < MESSAGES; sent += 20) {
    for (let n = 0; n < 20; n++) connections[0]!.receive(message, false)
    await new Promise<void>((resolve) => void setImmediate(resolve))
  }
  const { user, system } = process.cpuUsage(before)
  return ((user + system) * 1_000) / MESSAGES
}

const alone: number[] = []
const watched: number[] = []
for (let round = 0; round < TURNS; round++) {
  inspector.receive(frame('tidewire:admin', 'phx_leave', {}), false)
  await settled()
  alone.push(await turn())
  inspector.receive(frame('tidewire:admin', 'phx_join', {}), false)
  await settled()
  inspector.receive(frame('tidewire:admin', 'admin_watch', { payloads: true, match: '' }), false)
  watched.push(await turn())
}
const added = median(watched.map((value, round) => value - alone[round]!))
console.log(
  `per message to ${SUBSCRIBERS} subscribers, without sockets: ${Math.round(median(alone))} ns alone, ${Math.round(median(watched))} ns watched, ${Math.round(added)} ns added`,
)
process.exit()
