/**
 * What an inspector adds, in one process and without sockets: to each message, and to each second in which it gets
 * the log and the figures. The same server with and without one, in short turns, so that a busy machine hurts both
 * alike. Prints CPU times.
 */
import { Server, allObservers, metricsObserver, noLimits, resolveOptions, type Runtime } from '@tidewire/server'
import { ADMIN_ROLE } from '@tidewire/protocol'
import { median } from '../statistics.ts'

const SUBSCRIBERS = 100
const MESSAGES = 2_000
const TURNS = 200
/** How often an inspector gets its log (rule I4), and how many messages come between, as at 300 a second. */
const LOG_INTERVAL_MS = 100
const MESSAGES_A_STEP = 30

/** Sends the log, and every fifth time the figures; `null` while there is no inspector. */
let sendLog: (() => void) | null = null

const runtime: Runtime = {
  now: () => Date.now(),
  uptime: () => performance.now(),
  setTimer: (callback, afterMs) => {
    if (afterMs === LOG_INTERVAL_MS) {
      sendLog = callback
      return { cancel: () => (sendLog = null) }
    }
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

async function send(messages: number): Promise<void> {
  for (let n = 0; n < messages; n++) connections[0]!.receive(message, false)
  await new Promise<void>((resolve) => void setImmediate(resolve))
}

/** Microseconds of CPU. */
async function costOf(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/** 20 in a turn of the event loop. */
async function manyMessages(): Promise<void> {
  for (let sent = 0; sent < MESSAGES; sent += 20) await send(20)
}

/** The log as often as in a second, with all the rows that it takes. */
async function oneSecond(): Promise<void> {
  for (let step = 0; step < 1_000 / LOG_INTERVAL_MS; step++) {
    await send(MESSAGES_A_STEP)
    sendLog?.()
  }
}

interface Costs {
  readonly messages: number
  readonly second: number
}

async function costs(): Promise<Costs> {
  return { messages: await costOf(manyMessages), second: await costOf(oneSecond) }
}

const alone: Costs[] = []
const watched: Costs[] = []
for (let round = 0; round < TURNS; round++) {
  inspector.receive(frame('tidewire:admin', 'phx_leave', {}), false)
  await settled()
  alone.push(await costs())
  inspector.receive(frame('tidewire:admin', 'phx_join', {}), false)
  await settled()
  inspector.receive(frame('tidewire:admin', 'admin_watch', { payloads: true, match: '' }), false)
  watched.push(await costs())
}
const added = (what: keyof Costs): number => median(watched.map((each, round) => each[what] - alone[round]![what]))
const perMessage = added('messages') / MESSAGES
const perSecond = added('second') - (perMessage * MESSAGES_A_STEP * 1_000) / LOG_INTERVAL_MS
const nanoseconds = (micros: number): string => `${Math.round(micros * 1_000)} ns`
console.log(
  `to ${SUBSCRIBERS} subscribers, without sockets: a message ${nanoseconds(median(alone.map(({ messages }) => messages)) / MESSAGES)} alone, ${nanoseconds(perMessage)} more when watched; ` +
    `each second of watching ${Math.round(perSecond)} µs (${(perSecond / 10_000).toFixed(2)} % of a core)`,
)
process.exit()
