/** The whole client against a server that does anything, on a clock that stands still until it is moved. */
import { FakeRuntime, ScriptedServer, settle, type Script } from '@tidewire/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RealtimeChannel } from './channel.ts'
import { Client as RealtimeClient } from './client.ts'

const WALKS = 10_000

const topics = ['a', 'b', 'c'] as const
const silent: Script = () => null
const refusing: Script = () => ({ status: 'error', response: { reason: 'IncreaseConnectionPool: busy' } })
const forbidding: Script = () => ({ status: 'error', response: { reason: 'Unauthorized: no' } })
const senseless: Script = () => ({ status: 'ok', response: { postgres_changes: [{ id: 'x' }, null] } })

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('subscribe', 'unsubscribe', 'track', 'send', 'ready', 'listen', 'hold', 'read'),
      topic: fc.constantFrom(...topics),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('advance'), ms: fc.constantFrom(1, 100, 1000, 9000, 26_000, 60_000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('phx_close', 'phx_error', 'system', 'presence_state', 'broadcast', 'twice'),
      topic: fc.constantFrom(...topics),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'drop',
        'closing',
        'oversleep',
        'connect',
        'disconnect',
        'removeAll',
        'freeze',
        'wake',
        'setAuth',
        'sendHeartbeat',
        'garbage',
        'push',
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('joins', 'pushes', 'beats', 'sockets', 'tokens'), mood: fc.nat(4) }) },
)
type Step = { kind: string; topic?: string; ms?: number; mood?: number }

class Walk {
  readonly runtime: FakeRuntime
  readonly server: ScriptedServer
  readonly client: RealtimeClient
  readonly nice: Pick<ScriptedServer, 'onJoin' | 'onPush' | 'onHeartbeat'>
  pending = 0
  tokenMood = 0
  releases: (() => void)[] = []
  /** Sockets that may still say something. */
  live(): number {
    return this.runtime.sockets.filter((socket) => socket.onclose !== null && socket.readyState !== 3).length
  }

  constructor(seed: number) {
    this.runtime = new FakeRuntime(seed)
    this.server = new ScriptedServer(this.runtime)
    this.nice = { onJoin: this.server.onJoin, onPush: this.server.onPush, onHeartbeat: this.server.onHeartbeat }
    this.client = new RealtimeClient(
      'ws://localhost/socket',
      { apikey: 'k', accessToken: () => this.token(), logger: () => this.log() },
      this.runtime,
    )
  }

  token(): Promise<string> {
    if (this.tokenMood === 1) return new Promise(() => {})
    if (this.tokenMood === 2) throw new Error('no token')
    return Promise.resolve(`token ${this.tokenMood}`)
  }

  log(): void {
    if (this.tokenMood === 4) throw new Error('a logger that throws')
  }

  /** Counts a promise until it settles, either way. */
  await_(promise: Promise<unknown>): void {
    this.pending++
    const settled = (): void => void this.pending--
    promise.then(settled, settled)
  }

  channel(topic: string): RealtimeChannel {
    return this.client.channel(topic, { config: { broadcast: { ack: topic === 'a' } } })
  }

  async take({ kind, topic = 'a', ms = 0, mood = 0 }: Step): Promise<void> {
    const { client, runtime, server } = this
    const { sockets } = runtime
    switch (kind) {
      case 'subscribe':
        this.channel(topic).subscribe(() => {
          if (mood === 3) throw new Error('a callback that throws')
        })
        return
      case 'unsubscribe':
        return this.await_(this.channel(topic).unsubscribe())
      case 'track':
        return this.await_(this.channel(topic).track({ n: 1 }))
      case 'send':
        return this.await_(this.channel(topic).sendBroadcast('e', {}))
      case 'ready':
        return this.await_(this.channel(topic).ready({ timeout: 5000 }))
      case 'listen':
        if (!this.channel(topic).isJoined && !this.channel(topic).isJoining)
          this.channel(topic)
            .onPostgresChanges('*', { schema: 'public' }, () => {})
            .onPresenceSync(() => {})
        return
      case 'hold': {
        const { release } = client.hold(topic)
        if (this.releases.push(release) > 3) this.releases.shift()!()
        return
      }
      case 'read':
        return this.await_(this.channel(topic).broadcasts('e').next())
      case 'advance':
        return runtime.advance(ms)
      case 'drop':
        return sockets.at(-1)?.drop()
      case 'closing': {
        // The other side hung up; the platform knows before it says so, and drops what it is given.
        const socket = sockets.at(-1)
        if (socket?.readyState === 1) socket.readyState = 2
        return
      }
      case 'oversleep':
        return runtime.jump(60_000)
      case 'connect':
        return client.connect()
      case 'disconnect':
        return this.await_(client.disconnect())
      case 'removeAll':
        return this.await_(client.removeAllChannels())
      case 'freeze':
      case 'wake':
        return runtime.happen(kind)
      case 'setAuth':
        return this.await_(client.setAuth())
      case 'sendHeartbeat':
        return this.await_(client.sendHeartbeat())
      case 'push':
        return client.push({ topic: 'x', event: 'y', payload: {}, ref: '0' })
      case 'joins':
        server.onJoin = [this.nice.onJoin, silent, refusing, forbidding, senseless][mood]!
        return
      case 'pushes':
        server.onPush = [this.nice.onPush, silent, refusing, this.nice.onPush, silent][mood]!
        return
      case 'beats':
        server.onHeartbeat = mood % 2 === 0 ? this.nice.onHeartbeat : silent
        return
      case 'sockets':
        server.opens = mood % 2 === 0
        return
      case 'tokens':
        this.tokenMood = mood
        return
    }
    const socket = sockets.at(-1)
    if (socket?.readyState !== 1) return
    const joinRef = server.joinRef(`realtime:${topic}`) ?? null
    switch (kind) {
      case 'garbage':
        return socket.receive(runtime.random() < 0.5 ? '{' : new Uint8Array([4, 200, 3]))
      case 'twice':
        for (const status of ['ok', 'error']) socket.receive([joinRef, joinRef, `realtime:${topic}`, 'phx_reply', { status, response: {} }])
        return
      case 'system':
        return socket.receive([
          joinRef,
          null,
          `realtime:${topic}`,
          'system',
          { status: 'error', extension: 'system', message: 'Token has expired 1 seconds ago' },
        ])
      default:
        return socket.receive([joinRef, null, `realtime:${topic}`, kind, { event: 'e' }])
    }
  }

  /** The server is kind again, and sockets answer. */
  calm(): void {
    Object.assign(this.server, this.nice)
    this.server.opens = true
    // A token that is new, so that what was refused for good is asked for again.
    this.tokenMood = 5
    for (const socket of this.runtime.sockets) if (socket.readyState === 2) socket.drop(1005)
    this.runtime.sockets.at(-1)?.open()
  }
}

test(`${WALKS} random walks: every promise settles, nothing is left, and each channel that wants to be joined is`, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.integer({ min: 1 }), async (steps: Step[], seed) => {
      const walk = new Walk(seed)
      const { client, runtime } = walk
      for (const next of steps) {
        await walk.take(next)
        expect(walk.live(), 'sockets at a time').toBeLessThanOrEqual(1)
        // The connection, the token, an idle timer, a release; per topic a join, what it waits for, and a few pushes.
        expect(runtime.armedTimers).toBeLessThanOrEqual(10 + 25)
        if (runtime.random() < 0.5) await settle()
      }
      const wanted = client.getChannels().filter((channel) => channel.state !== 'closed')
      walk.calm()
      await client.setAuth()
      if (wanted.length > 0) {
        client.connect()
        walk.calm()
        await runtime.advance(70_000)
        walk.calm()
        await runtime.advance(70_000)
        for (const channel of wanted) {
          const held = client.getChannels().includes(channel)
          expect(held ? channel.state : 'joined', `${channel.topic} at last`).toBe('joined')
        }
      }
      for (const release of walk.releases) release()
      const removed = client.removeAllChannels()
      runtime.happen('freeze')
      for (const socket of runtime.sockets) socket.drop(1005)
      await removed
      // A release waits for the end of its turn.
      await runtime.advance(1)
      expect([walk.pending, runtime.armedTimers, runtime.watchers]).toEqual([0, 0, 0])
      expect(runtime.errors.filter((error) => !error.message.includes('listener threw'))).toEqual([])
    }),
    { numRuns: WALKS },
  )
}, 300_000)
