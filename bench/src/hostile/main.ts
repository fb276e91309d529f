/** What one frame costs the server and all its clients: how long the event loop stood still, and CPU. */
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { Child, type Core } from '../child.ts'
import type { ServerMessage, Usage } from '../messages.ts'
import { startDatabase, withClient } from '../postgres/database.ts'
import { hostileFrames, type HostileFrame } from './frames.ts'

export interface HostileOptions {
  readonly rounds: number
  readonly serverCore: Core
}

/** The worst of all rounds. */
export interface HostileFigures {
  readonly name: string
  readonly bytes: number
  /** The longest that the server's event loop stood still. */
  readonly delayMs: number
  /** CPU time of the longest turn: what the frame itself holds up the others for. */
  readonly turnMs: number
  /** The longest that a heartbeat of another socket took. */
  readonly heartbeatMs: number
  readonly cpuMs: number
  /** The answer to the sender. */
  readonly answer: string
}

const STEP_TIMEOUT_MS = 60_000
/** The work of a frame is over this long after its answer. */
const SETTLE_MS = 400
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
      const runs: HostileFigures[] = []
      for (let round = 0; round < rounds; round++) runs.push(await runOnce(frame, `realtime:hostile-${at}-${round}`, server, to, writeRow))
      const worst = (of: (run: HostileFigures) => number): number => Math.max(...runs.map(of))
      figures.push({
        ...runs[0]!,
        delayMs: worst((run) => run.delayMs),
        turnMs: worst((run) => run.turnMs),
        heartbeatMs: worst((run) => run.heartbeatMs),
        cpuMs: worst((run) => run.cpuMs),
      })
      const { name, delayMs, turnMs, cpuMs, answer } = figures.at(-1)!
      console.error(
        `${name.padEnd(48)} ${delayMs.toFixed(0).padStart(6)} ms, ${turnMs.toFixed(0).padStart(4)} ms CPU in a turn, CPU ${cpuMs.toFixed(0)} ms  ${answer}`,
      )
    }
    return { figures, postgres: database.version }
  } finally {
    await server.stop()
    await database.stop()
  }
}

async function runOnce(
  { name, version, config, frame, times = 1, receivers = 0, tracked = [], batch = false, thenRow = false }: HostileFrame,
  topic: string,
  server: Child<ServerMessage>,
  to: (version: string) => string,
  writeRow: () => Promise<unknown>,
): Promise<HostileFigures> {
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
  const single = frame(topic)
  const frames = Array.from({ length: times }, () => (times === 1 ? single : frame(topic)))
  await delay(SETTLE_MS)
  const send = async (): Promise<void> => {
    if (batch) answers.push(await postBatch(to(version), single as string))
    else for (const each of frames) attacker.send(each)
    await Promise.all(others.slice(0, receivers).map((other) => answered(other, witness)))
    await answered(attacker, witness)
    await delay(SETTLE_MS)
  }
  const answer = (wanted: string): Promise<void> => come(answers, wanted, name)
  if (thenRow) {
    await send()
    await answer('Subscribed to PostgreSQL')
  }
  answers.length = 0
  const heartbeats = beat(witness)
  const before = await usageOf(server)
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
    cpuMs: (after.cpuMicros - before.cpuMicros) / 1_000,
    answer: brief,
  }
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
async function postBatch(socketUrl: string, body: string): Promise<string> {
  const { host, searchParams } = new URL(socketUrl)
  const response = await fetch(`http://${host}/api/broadcast`, {
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
  const said = answers.filter((answer) => !answer.includes('"last"'))
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
