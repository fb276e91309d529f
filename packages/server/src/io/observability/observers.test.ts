import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { Decision, Observer, Runtime, SentMessage } from '../../ports.ts'
import { allObservers } from '../../all-observers.ts'
import { logObserver, type Log, type LogObserverOptions } from './log-observer.ts'
import { metricsObserver } from './metrics-observer.ts'

const REFUSED: Decision = {
  kind: 'join-refused',
  code: 'token-expired',
  detail: 'Token has expired 5 seconds ago',
  connection: 'c1',
  topic: 'realtime:a',
}

const MESSAGE: SentMessage = {
  kind: 'broadcast',
  private: false,
  connection: 'c1',
  event: 'e',
  encoding: 'json',
  payload: Buffer.from('{}'),
}

/** A clock that stands still until the test moves it. */
class Clock implements Pick<Runtime, 'setTimer' | 'uptime'> {
  #now = 0
  #timers: { readonly at: number; readonly callback: () => void }[] = []

  uptime(): number {
    return this.#now
  }

  setTimer(callback: () => void, afterMs: number): { cancel(): void } {
    const timer = { at: this.#now + afterMs, callback }
    this.#timers.push(timer)
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }

  advance(ms: number): void {
    this.#now += ms
    const due = this.#timers.filter(({ at }) => at <= this.#now)
    this.#timers = this.#timers.filter(({ at }) => at > this.#now)
    for (const { callback } of due) callback()
  }

  get armed(): number {
    return this.#timers.length
  }
}

function open(options: Partial<LogObserverOptions> = {}): {
  log: Log
  lines: () => Record<string, unknown>[]
  clock: Clock
  text: () => string
} {
  const clock = new Clock()
  let text = ''
  const log = logObserver({ runtime: clock, lines: { write: (line) => void (text += line), flush: () => Promise.resolve() }, ...options })
  return {
    log,
    clock,
    text: () => text,
    lines: () =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}

describe('logObserver', () => {
  test('one line a decision', () => {
    const { log, lines } = open()
    log.observer.decision(REFUSED)
    log.observer.decision({ kind: 'http-refused', code: 'internal-error', detail: 'oops' })
    expect(lines()).toEqual([
      {
        level: 'info',
        time: expect.any(Number),
        kind: 'join-refused',
        code: 'token-expired',
        connection: 'c1',
        topic: 'realtime:a',
        msg: 'Token has expired 5 seconds ago',
      },
      { level: 'error', time: expect.any(Number), kind: 'http-refused', code: 'internal-error', msg: 'oops' },
    ])
  })

  test('connects, joins and their ends only for debugging, messages never', () => {
    const quiet = open()
    const loud = open({ level: 'debug' })
    for (const { log } of [quiet, loud]) {
      log.observer.connected('c1')
      log.observer.joined('c1', 'realtime:a', false)
      log.observer.broadcast('realtime:a', 1, 10, MESSAGE)
      log.observer.received(10)
      log.observer.left('c1', 'realtime:a', false)
      log.observer.disconnected('c1', 1000)
    }
    expect(quiet.lines()).toEqual([])
    expect(loud.lines().map(({ msg }) => msg)).toEqual(['connected', 'joined', 'left', 'disconnected'])
  })

  test('a flood of what nodes do is cut as well', () => {
    const { log, lines, clock } = open({ linesPerSecond: 3 })
    const peer = { instance: 'i', name: 'n', version: '1', startedAt: 0 }
    for (let at = 0; at < 10; at++) {
      const events = [{ kind: 'up', peer } as const, { kind: 'leaving', peer, spreadMs: 0 } as const, { kind: 'down', peer } as const]
      for (const event of events) log.observer.nodeEvent!({ kind: 'peer', event })
      log.observer.nodeEvent!({ kind: 'gap', topics: 'all' })
      log.observer.nodeEvent!({ kind: 'link', link: { state: 'down', sinceUptimeMs: 0, detail: 'x' } })
    }
    expect(lines()).toHaveLength(15)
    clock.advance(1_000)
    expect(lines().at(-1)).toMatchObject({
      dropped: { 'node-up': 7, 'node-leaving': 7, 'node-down': 7, 'node-gap': 7, 'link-down': 7 },
    })
  })

  test('a flood is cut to so many lines a second for each code, and summed up when the second is over', () => {
    const { log, lines, clock } = open({ linesPerSecond: 3 })
    for (let i = 0; i < 1_000; i++) log.observer.decision(i % 2 === 0 ? REFUSED : { ...REFUSED, code: 'too-many-joins' })
    log.observer.decision({ ...REFUSED, code: 'unauthorized' })
    expect(lines().map(({ code }) => code)).toEqual([
      ...Array.from({ length: 3 }, () => ['token-expired', 'too-many-joins']).flat(),
      'unauthorized',
    ])
    expect(clock.armed).toBe(1)
    clock.advance(1_000)
    expect(lines()).toHaveLength(8)
    expect(lines().at(-1)).toMatchObject({ dropped: { 'token-expired': 497, 'too-many-joins': 497 } })
    expect(clock.armed).toBe(0)
    log.observer.decision(REFUSED)
    expect(lines()).toHaveLength(9)
  })

  test('long names and details are cut, line breaks stay inside their line', () => {
    const { log, lines, text } = open()
    log.observer.decision({ ...REFUSED, topic: `realtime:${'x'.repeat(5_000)}`, detail: 'a\nb'.repeat(5_000) })
    expect(text().length).toBeLessThan(1_500)
    expect(lines()).toHaveLength(1)
  })

  test('no token, even if a detail had one', () => {
    const { log, text } = open()
    log.observer.decision({ ...REFUSED, detail: 'bad eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl here' })
    expect(text()).toContain('bad <token> here')
  })

  test('lines of its owner', async () => {
    const { log, lines } = open()
    log.info('listening')
    log.warn('the key set could not be fetched')
    await log.flush()
    expect(lines().map(({ level, msg }) => [level, msg])).toEqual([
      ['info', 'listening'],
      ['warn', 'the key set could not be fetched'],
    ])
  })

  test('a closed standard output does not end the process', async () => {
    const module = fileURLToPath(new URL('log-observer.ts', import.meta.url))
    const script = `
      import(${JSON.stringify(module)}).then(({ logObserver }) => {
        const log = logObserver()
        log.info('first')
        process.once('message', async () => {
          for (let i = 0; i < 1000; i++) log.info('unread')
          await log.flush()
          process.send('alive', () => process.disconnect())
        })
        process.send('ready')
      })`
    const child = spawn(process.execPath, ['--import', 'tsx', '-e', script], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    const signal = AbortSignal.timeout(15_000)
    try {
      await once(child, 'message', { signal })
      child.stdout!.destroy()
      await once(child.stdout!, 'close', { signal })
      child.send('go')
      expect((await once(child, 'message', { signal }))[0]).toBe('alive')
      expect((await once(child, 'exit', { signal }))[0]).toBe(0)
    } finally {
      child.kill()
    }
  })
})

describe('metricsObserver', () => {
  async function values(text: Promise<string>): Promise<Record<string, number>> {
    const lines = (await text).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
  }

  test('counts what happens', async () => {
    const { observer, metrics } = metricsObserver()
    for (const id of ['a', 'b', 'c']) observer.connected(id)
    observer.joined('a', 'realtime:x', false)
    observer.joined('a', 'realtime:y', false)
    observer.joined('b', 'realtime:x', false)
    observer.left('a', 'realtime:y', false)
    observer.left('b', 'realtime:x', false)
    observer.disconnected('b', 1000)
    observer.disconnected('c', 4321)
    observer.broadcast('realtime:x', 5, 300, MESSAGE)
    observer.broadcast('realtime:x', 0, 10, MESSAGE)
    observer.received(100)
    observer.received(20)
    observer.decision(REFUSED)
    observer.decision({ kind: 'http-refused', code: 'token-missing', detail: '' })
    expect(metrics.contentType).toMatch(/^text\/plain/)
    expect(await values(metrics.text())).toMatchObject({
      phoenix_connections_total: 1,
      realtime_connections_global_connected: 1,
      tidewire_channels: 1,
      tidewire_connections_opened_total: 3,
      'tidewire_connections_closed_total{code="1000"}': 1,
      'tidewire_connections_closed_total{code="other"}': 1,
      realtime_channel_global_joins: 3,
      realtime_channel_global_events: 7,
      realtime_channel_global_input_bytes: 120,
      realtime_channel_global_output_bytes: 1500,
      tidewire_broadcasts_total: 2,
      tidewire_deliveries_total: 5,
      tidewire_frames_received_total: 2,
      'realtime_payload_size_bucket{le="256",message_type="broadcast"}': 1,
      'realtime_payload_size_bucket{le="1024",message_type="broadcast"}': 2,
      'phoenix_channel_joined_total{result="ok",transport="websocket"}': 3,
      'phoenix_channel_joined_total{result="error",transport="websocket"}': 1,
      'realtime_channel_global_error{code="token-expired"}': 1,
      'tidewire_decisions_total{kind="join-refused",code="token-expired"}': 1,
      'tidewire_decisions_total{kind="http-refused",code="token-missing"}': 1,
    })
    expect(await values(metrics.text())).toMatchObject({ realtime_channel_global_joins: 3, tidewire_broadcasts_total: 2 })
  })

  test('presence, row changes, latencies and how far the feed is behind', async () => {
    const { observer, metrics } = metricsObserver({ slots: () => Promise.resolve([{ name: 'tidewire_a', retainedBytes: 4096 }]) })
    observer.broadcast('realtime:x', 3, 50, { ...MESSAGE, kind: 'track' })
    observer.fannedOut!(0.2)
    observer.fannedOut!(70_000)
    observer.storedFannedOut!(9)
    observer.storedFannedOut!(300)
    observer.authorized!(3)
    const change = { schema: 's', table: 't', action: 'INSERT', committedAt: 0 }
    observer.changed!({ ...change, receivers: 2, payload: Buffer.alloc(300), ms: 20 })
    observer.changed!({ ...change, receivers: 0, payload: null, ms: 20 })
    observer.feedLag!({ bytes: 77, ms: 1500 })
    expect(await values(metrics.text())).toMatchObject({
      tidewire_broadcasts_total: 0,
      realtime_channel_global_presence_events: 1,
      realtime_channel_global_db_events: 2,
      realtime_channel_global_output_bytes: 750,
      tidewire_changes_total: 2,
      'realtime_payload_size_bucket{le="256",message_type="presence"}': 1,
      'realtime_payload_size_count{message_type="postgres_changes"}': 1,
      'tidewire_fan_out_seconds_bucket{le="0.0001"}': 0,
      'tidewire_fan_out_seconds_bucket{le="0.00025"}': 1,
      'tidewire_fan_out_seconds_bucket{le="60"}': 1,
      'tidewire_fan_out_seconds_bucket{le="+Inf"}': 2,
      tidewire_fan_out_seconds_count: 2,
      'realtime_tenants_broadcast_from_database_latency_committed_at_bucket{le="10"}': 1,
      'realtime_tenants_broadcast_from_database_latency_committed_at_bucket{le="250"}': 1,
      'realtime_tenants_broadcast_from_database_latency_committed_at_bucket{le="5000"}': 2,
      realtime_tenants_broadcast_from_database_latency_committed_at_sum: 309,
      'tidewire_authorization_seconds_bucket{le="0.005"}': 1,
      'tidewire_change_seconds_bucket{le="0.025"}': 1,
      tidewire_change_seconds_count: 1,
      tidewire_feed_lag_seconds_sum: 1.5,
      tidewire_feed_lag_bytes: 77,
      'tidewire_slot_retained_bytes{slot="tidewire_a"}': 4096,
    })
  })

  test('every server has its own', async () => {
    const [one, two] = [metricsObserver(), metricsObserver()]
    one.observer.connected('a')
    expect(await values(two.metrics.text())).toMatchObject({ phoenix_connections_total: 0 })
  })

  test('a client that closes with every code there is makes few series', async () => {
    const { observer, metrics } = metricsObserver()
    for (let code = 1000; code < 5000; code++) observer.disconnected('a', code)
    const series = Object.keys(await values(metrics.text())).filter((name) => name.startsWith('tidewire_connections_closed_total'))
    expect(series).toHaveLength(11)
  })

  test('the process, when asked', async () => {
    expect(await metricsObserver({ processMetrics: true }).metrics.text()).toContain('process_resident_memory_bytes')
    expect(await metricsObserver().metrics.text()).not.toContain('process_')
  })
})

describe('allObservers', () => {
  test('notifies every observer of everything, in order', () => {
    const notified: unknown[] = []
    const observer = (name: string): Observer => ({
      decision: (...args) => notified.push([name, 'decision', ...args]),
      connected: (...args) => notified.push([name, 'connected', ...args]),
      disconnected: (...args) => notified.push([name, 'disconnected', ...args]),
      joined: (...args) => notified.push([name, 'joined', ...args]),
      left: (...args) => notified.push([name, 'left', ...args]),
      broadcast: (...args) => notified.push([name, 'broadcast', ...args]),
      received: (...args) => notified.push([name, 'received', ...args]),
    })
    const all = allObservers([observer('a'), observer('b')])
    all.decision(REFUSED)
    all.connected('c')
    all.disconnected('c', 1000)
    all.joined('c', 't', false)
    all.left('c', 't', false)
    all.broadcast('t', 1, 2, MESSAGE)
    all.received(3)
    const calls = [
      ['decision', REFUSED],
      ['connected', 'c'],
      ['disconnected', 'c', 1000],
      ['joined', 'c', 't', false],
      ['left', 'c', 't', false],
      ['broadcast', 't', 1, 2, MESSAGE],
      ['received', 3],
    ]
    expect(notified).toEqual(
      calls.flatMap((call) => [
        ['a', ...call],
        ['b', ...call],
      ]),
    )
  })

  test('what no observer asks for is not there to be called', () => {
    const notified: number[] = []
    const plain = allObservers([])
    expect([plain.fannedOut, plain.authorized, plain.changed, plain.feedLag]).toEqual([undefined, undefined, undefined, undefined])
    const all = allObservers([
      plain,
      { ...plain, fannedOut: (ms) => notified.push(ms) },
      { ...plain, fannedOut: (ms) => notified.push(-ms) },
    ])
    all.fannedOut?.(3)
    expect(notified).toEqual([3, -3])
    expect(all.authorized).toBeUndefined()
  })
})
