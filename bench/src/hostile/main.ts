/** What one frame costs the server and all its clients: how long the event loop stood still, and CPU. */
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { Child, type Core } from '../child.ts'
import type { ServerMessage, Usage } from '../messages.ts'
import { median } from '../statistics.ts'
import { startDatabase, withClient } from '../postgres/database.ts'
import { hostileFrames, type HostileFrame } from './frames.ts'

export interface HostileOptions {
  readonly rounds: number
  readonly serverCore: Core
}

export interface HostileFigures {
  readonly name: string
  readonly bytes: number
  /** The longest that the server's event loop stood still, with the first frame of the kind that the process got. */
  readonly firstDelayMs: number
  /** The same with those after it: the middle of the rounds, and the worst. */
  readonly delayMs: number
  readonly worstDelayMs: number
  /** CPU time of the longest turn of the rounds. */
  readonly turnMs: number
  /** The longest that a heartbeat of another socket took in the rounds. */
  readonly heartbeatMs: number
  /** CPU time of the server: the middle of the rounds. */
  readonly cpuMs: number
  /** What `JSON.parse` takes for the same text, all at once; `null`: it is no JSON. */
  readonly parseMs: number | null
  /** The answer to the sender. */
  readonly answer: string
}

/** Of one frame. */
type Run = Pick<HostileFigures, 'name' | 'bytes' | 'delayMs' | 'turnMs' | 'heartbeatMs' | 'cpuMs' | 'answer'> & {
  readonly text: string
}

const STEP_TIMEOUT_MS = 60_000
/** The work of a frame is over this long after its answer. */
const SETTLE_MS = 200
/** That of a join goes on after its reply. */
const JOIN_SETTLE_MS = 500
const HEARTBEAT_MS = 5

export async function benchHostile({
  rounds,
  serverCore,
}: HostileOptions): Promise<{ readonly figures: readonly HostileFigures[]; readonly postgres: string }> {
  const database = await startDatabase()
  const url = await database.create(
    'create table public.hostile (id int primary key, n int, body text); grant select on public.hostile to anon; alter publication supabase_realtime add table public.hostile',
  )
  process.env['BENCH_DATABASE_URL'] = url
  const server = new Child<ServerMessage>('servers/tidewire-hostile.ts', serverCore)
  try {
    const ready = await server.next(STEP_TIMEOUT_MS)
    if (ready.kind !== 'ready') throw new Error('the server did not say where it listens')
    const to = (version: string): string =>
      `ws://127.0.0.1:${ready.port}/socket/websocket?apikey=${encodeURIComponent(ready.apiKey)}&vsn=${version}`
    const figures: HostileFigures[] = []
    let rows = 0
    const writeRow = (): Promise<unknown> =>
      withClient(url, (client) => client.query('insert into public.hostile values ($1, $1, $2)', [++rows, `${'a'.repeat(200)}7`]))
    for (const [at, frame] of hostileFrames.entries()) {
      const runs: Run[] = []
      for (let round = 0; round <= rounds; round++) runs.push(await runOnce(frame, `realtime:hostile-${at}-${round}`, server, to, writeRow))
      const [first, ...later] = runs as [Run, ...Run[]]
      const worst = (of: (run: Run) => number): number => Math.max(...later.map(of))
      const { name, bytes, answer } = first
      figures.push({
        name,
        bytes,
        answer,
        firstDelayMs: first.delayMs,
        delayMs: median(later.map((run) => run.delayMs)),
        worstDelayMs: worst((run) => run.delayMs),
        turnMs: worst((run) => run.turnMs),
        heartbeatMs: worst((run) => run.heartbeatMs),
        cpuMs: median(later.map((run) => run.cpuMs)),
        parseMs: parseMs(first.text),
      })
      const { firstDelayMs, delayMs, worstDelayMs, cpuMs } = figures.at(-1)!
      console.error(
        `${name.padEnd(48)} ${[firstDelayMs, delayMs, worstDelayMs].map((ms) => ms.toFixed(0).padStart(4)).join('')} ms first, middle, worst; CPU ${cpuMs.toFixed(0)} ms  ${answer}`,
      )
    }
    return { figures, postgres: database.version }
  } finally {
    await server.stop()
    await database.stop()
  }
}

async function runOnce(
  { name, version, config, frame, times = 1, receivers = 0, tracked = [], http, before, thenRow = false }: HostileFrame,
  topic: string,
  server: Child<ServerMessage>,
  to: (version: string) => string,
  writeRow: () => Promise<unknown>,
): Promise<Run> {
  const [attacker, witness] = [await open(to(version)), await open(to('2.0.0'))]
  const others = await Promise.all(Array.from({ length: receivers + tracked.length }, () => open(to('2.0.0'))))
  for (const other of others) other.send(JSON.stringify(['1', '1', topic, 'phx_join', { config: {} }]))
  for (const [at, payload] of tracked.entries())
    others[at]!.send(`["1","2","${topic}","presence",{"type":"presence","event":"track","payload":${payload}}]`)
  if (others.length > 0) await Promise.all(others.map((other) => answered(other, witness)))
  const answers: string[] = []
  attacker.on('message', (data: Buffer) => void answers.push(data.toString()))
  attacker.on('close', (code) => void answers.push(`closed with ${code}`))
  const join =
    version === '2.0.0'
      ? ['1', '1', topic, 'phx_join', { config }]
      : { topic, event: 'phx_join', ref: '1', join_ref: '1', payload: { config } }
  if (config !== null) attacker.send(JSON.stringify(join))
  if (before !== undefined) attacker.send(before(topic))
  const single = frame(topic)
  const frames = Array.from({ length: times }, () => (times === 1 ? single : frame(topic)))
  await delay(SETTLE_MS)
  const send = async (): Promise<void> => {
    if (http !== undefined) answers.push(await post(to(version), http === 'batch' ? '' : `/${topic.slice(9)}/events/e`, single as string))
    else for (const each of frames) attacker.send(each)
    await Promise.all(others.slice(0, receivers).map((other) => answered(other, witness)))
    await answered(attacker, witness)
    await delay(config === null ? JOIN_SETTLE_MS : SETTLE_MS)
  }
  const answer = (wanted: string): Promise<void> => come(answers, wanted, name)
  if (thenRow) {
    await send()
    await answer('Subscribed to PostgreSQL')
  }
  answers.length = 0
  const heartbeats = beat(witness)
  const usageBefore = await usageOf(server)
  if (thenRow) {
    await writeRow()
    await answer('"postgres_changes"')
    await delay(SETTLE_MS)
  } else await send()
  const after = await usageOf(server)
  const heartbeatMs = heartbeats()
  const brief = inBrief(answers)
  for (const socket of [attacker, witness, ...others]) socket.terminate()
  await delay(50)
  return {
    name,
    bytes: Buffer.byteLength(single),
    delayMs: after.longestDelayMs ?? 0,
    turnMs: after.longestTurnMs ?? 0,
    heartbeatMs,
    cpuMs: (after.cpuMicros - usageBefore.cpuMicros) / 1_000,
    answer: brief,
    text: typeof single === 'string' ? single : contentOf(single),
  }
}

/** The payload of a binary push of kind 3, behind its names. */
function contentOf(frame: Buffer): string {
  return frame.subarray(frame.subarray(1, 6).reduce((end, size) => end + size, 7)).toString()
}

const PARSES = 3

/** The middle of some, after one that does not count. */
function parseMs(text: string): number | null {
  const times: number[] = []
  for (let n = 0; n <= PARSES; n++) {
    const before = performance.now()
    try {
      JSON.parse(text)
    } catch {
      return null
    }
    times.push(performance.now() - before)
  }
  return median(times.slice(1))
}

/** A row that nothing is measured of would look like one that costs nothing. */
async function come(answers: readonly string[], text: string, name: string): Promise<void> {
  const until = performance.now() + STEP_TIMEOUT_MS
  while (!answers.some((answer) => answer.includes(text))) {
    if (performance.now() > until) throw new Error(`${name}: ${text} did not come`)
    await delay(5)
  }
}

/** The status and the text of the answer. */
async function post(socketUrl: string, path: string, body: string): Promise<string> {
  const { host, searchParams } = new URL(socketUrl)
  const response = await fetch(`http://${host}/api/broadcast${path}`, {
    method: 'POST',
    headers: { apikey: searchParams.get('apikey')!, 'content-type': 'application/json' },
    body,
  })
  return `${response.status} ${await response.text()}`
}

function open(url: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    socket.once('open', () => resolve(socket))
    socket.on('error', reject)
  })
}

/** Once a heartbeat after the frames is answered, or the socket is closed, they were dealt with. */
async function answered(attacker: WebSocket, witness: WebSocket): Promise<void> {
  const message = attacker.url.includes('vsn=1')
    ? '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"last"}'
    : '[null,"last","phoenix","heartbeat",{}]'
  const last = new Promise<void>((resolve) => {
    attacker.on('message', (data: Buffer) => data.includes('"last"') && resolve())
    attacker.once('close', () => resolve())
  })
  if (attacker.readyState === WebSocket.OPEN) attacker.send(message)
  else return
  await Promise.race([last, delay(STEP_TIMEOUT_MS, undefined, { ref: false }).then(() => witness.terminate())])
}

/** Sends heartbeats until it is called; then says how long the longest took. */
function beat(socket: WebSocket): () => number {
  let worst = 0
  const timer = setInterval(() => socket.send(`[null,"${performance.now()}","phoenix","heartbeat",{}]`), HEARTBEAT_MS)
  socket.on('message', (data: Buffer) => {
    const [, at] = JSON.parse(data.toString()) as [unknown, string]
    worst = Math.max(worst, performance.now() - Number(at))
  })
  return () => {
    clearInterval(timer)
    return worst
  }
}

async function usageOf(server: Child<ServerMessage>): Promise<Usage> {
  server.send('usage')
  const usage = await server.next(STEP_TIMEOUT_MS)
  if (usage.kind !== 'usage') throw new Error(`the server answered ${usage.kind}`)
  return usage
}

function inBrief(answers: readonly string[]): string {
  // A binary frame begins with the lengths of its names.
  const said = answers.filter((answer) => !answer.includes('"last"')).map((answer) => answer.replaceAll(/\p{Cc}/gu, ''))
  const reason = said
    .map(
      (answer) =>
        /"(?:reason|message)":"((?:[^"\\]|\\.){1,60})/.exec(answer)?.[1] ??
        /"(ok|presence_diff|postgres_changes)"/.exec(answer)?.[1] ??
        answer.slice(0, 40),
    )
    .find((text) => text !== '')
  return said.length === 0 ? 'none' : `${said.length > 1 ? `${said.length}: ` : ''}${reason ?? ''}`
}
