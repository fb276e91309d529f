/** What the handling of one hostile frame costs in one process and without sockets: CPU time, which a busy machine does not make longer. */
import { allObservers, metricsObserver, noLimits, resolveOptions, Server, type Runtime } from '@tidewire/server'
import { hostileFrames } from './frames.ts'

const ROUNDS = 5

const runtime: Runtime = {
  now: () => Date.now(),
  uptime: () => performance.now(),
  setTimer: () => ({ cancel: () => {} }),
  endOfTurn: (callback) => void setImmediate(callback),
  loopUtilization: () => 0,
  randomBytes: (size) => crypto.getRandomValues(new Uint8Array(size)),
}
const exp = Math.floor(Date.now() / 1000) + 3_600
const server = new Server(resolveOptions({ limits: noLimits }), {
  runtime,
  verifier: { verify: () => Promise.resolve({ ok: true, claims: { role: 'anon', exp } } as const) },
  observer: allObservers([metricsObserver().observer]),
})
const settled = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 5))

for (const [at, { name, version, config, frame, times = 1, http, tracked = [] }] of hostileFrames.entries()) {
  if (http !== undefined || tracked.length > 0) continue
  const runs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const topic = `realtime:hostile-${at}-${round}`
    const connection = server.accept(
      { version, token: 't', headers: {} },
      { write: () => {}, backlogBytes: () => 0, close: () => {}, terminate: () => {} },
    )
    const join =
      version === '2.0.0'
        ? ['1', '1', topic, 'phx_join', { config }]
        : { topic, event: 'phx_join', ref: '1', join_ref: '1', payload: { config } }
    if (config !== null) connection.receive(Buffer.from(JSON.stringify(join)), false)
    await settled()
    const data = frame(topic)
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    const before = process.cpuUsage()
    for (let n = 0; n < times; n++) connection.receive(bytes, typeof data !== 'string')
    const { user, system } = process.cpuUsage(before)
    runs.push((user + system) / 1_000 / times)
    connection.transportClosed(1000)
  }
  console.log(`${name.padEnd(48)} first ${runs[0]!.toFixed(1).padStart(6)} ms, then ${Math.max(...runs.slice(1)).toFixed(1)} ms at most`)
}
process.exit()
