/** Measures one figure of one client in this process, and prints it. Usage: probe.ts LIBRARY FIGURE [URL KEY] */
import { WebSocket } from 'ws'
import type { RealtimeChannel, RealtimeClient } from '@supabase/realtime-js'
import type { FigureName, Library } from './figures.ts'
import { median } from '../statistics.ts'
import { LoopSocket } from './loop-socket.ts'

const [library, figure, url = 'ws://127.0.0.1', apikey = 'key'] = process.argv.slice(2) as [Library, FigureName, string?, string?]
/** One has the types of the other. */
const { RealtimeClient: Client } = (await import(library)) as { RealtimeClient: typeof RealtimeClient }

const sockets: WebSocket[] = []
class WatchedWebSocket extends WebSocket {
  constructor(address: string | URL) {
    super(address)
    sockets.push(this)
  }
}

function connect(transport: unknown): RealtimeClient {
  return new Client(url, { params: { apikey }, transport } as never)
}

function isJoined(status: string): boolean {
  return status === 'SUBSCRIBED'
}

function joined(channel: RealtimeChannel): Promise<void> {
  return new Promise((resolve) => void channel.subscribe((status) => isJoined(status) && resolve()))
}

function channelsOf(client: RealtimeClient, count: number): RealtimeChannel[] {
  return Array.from({ length: count }, (_, index) => client.channel(`room-${index}`).on('broadcast', { event: 'said' }, () => {}))
}

const BATCH_MS = 100

/** The median of batches that are long beside the clock and the collector. */
function microsEach(run: () => void, callsPerLook: number): number {
  const batches = Array.from({ length: 9 }, () => {
    const from = performance.now()
    let calls = 0
    let took = 0
    while (took < BATCH_MS) {
      for (let index = 0; index < callsPerLook; index++) run()
      calls += callsPerLook
      took = performance.now() - from
    }
    return (took * 1000) / calls
  })
  return median(batches)
}

const TOPIC = 'realtime:room'

/** Payloads as programs send them: numbers, names and flags, in the longest a text beside them. */
const PAYLOADS: { readonly [bytes: number]: object } = {
  50: { x: 123.4, y: 567.8, id: 'a1b2c3', c: '#ff00aa' },
  300: { text: 'The quick brown fox jumps over th', users: users(4) },
  2000: { text: 'The quick brown fox jumps over the lazy dog. '.repeat(19), users: users(18) },
}

function users(count: number): object[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `u${index}`,
    x: index * 1.25,
    y: 33.5,
    name: 'Grace Hopper',
    on: index % 2 === 0,
  }))
}

/** A broadcast as a socket gives it: a kind 4 of version 2.0.0, or text with its keys in the order of Supabase's server. */
function frame(kind: 'binary' | 'text', payload: object): string | ArrayBuffer {
  const json = JSON.stringify(payload)
  if (kind === 'text') return `[null,null,"${TOPIC}","broadcast",{"event":"said","payload":${json},"type":"broadcast"}]`
  const bytes = new TextEncoder().encode(`${TOPIC}said${json}`)
  return new Uint8Array([4, TOPIC.length, 'said'.length, 0, 1, ...bytes]).buffer
}

async function receive(earlierSends: number, data: string | ArrayBuffer): Promise<number> {
  const client = connect(LoopSocket)
  let heard = 0
  const channel = client.channel('room').on('broadcast', { event: 'said' }, () => void heard++)
  await joined(channel)
  const deliver = (): void => LoopSocket.last.receive(data)
  microsEach(deliver, 50)
  // The bindings that realtime-js keeps for them live for ten seconds; all of this takes less.
  for (let sent = 0; sent < earlierSends; sent++) void channel.send({ type: 'broadcast', event: 'said', payload: { sent } })
  heard = 0
  let delivered = 0
  const cost = microsEach(() => {
    delivered++
    deliver()
  }, 50)
  if (heard !== delivered) throw new Error(`${heard} of ${delivered} messages were heard`)
  return cost
}

async function presence(): Promise<number> {
  const client = connect(LoopSocket)
  const channel = client.channel('room').on('presence', { event: 'sync' }, () => {})
  await joined(channel)
  const state = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, index) => [`user-${index}`, { metas: [{ phx_ref: `r${index}`, name: `${index}` }] }]),
  )
  LoopSocket.last.receive(JSON.stringify([null, null, 'realtime:room', 'presence_state', state]))
  if (Object.keys(channel.presenceState()).length !== 1_000) throw new Error('not all members are there')
  return microsEach(() => channel.presenceState(), library === '@tidewire/client' ? 1_000 : 5)
}

async function memory(): Promise<number> {
  const client = connect(LoopSocket)
  await joined(channelsOf(client, 1)[0]!)
  const before = heapBytes()
  const channels = Array.from({ length: 1_000 }, (_, index) => client.channel(`more-${index}`).on('broadcast', { event: 'said' }, () => {}))
  await Promise.all(channels.map(joined))
  const after = heapBytes()
  return (after - before) / channels.length
}

function heapBytes(): number {
  for (let times = 0; times < 3; times++) globalThis.gc!()
  return process.memoryUsage().heapUsed
}

async function rejoin(): Promise<number> {
  const client = connect(WatchedWebSocket)
  const channels = channelsOf(client, 100)
  let joins = 0
  const allJoined = new Promise<void>((first) => {
    for (const channel of channels)
      channel.subscribe((status) => {
        if (!isJoined(status)) return
        joins++
        if (joins === channels.length) first()
        if (joins === 2 * channels.length) again()
      })
  })
  let again = (): void => {}
  await allJoined
  const rejoined = new Promise<void>((resolve) => (again = resolve))
  const from = performance.now()
  sockets.at(-1)!.terminate()
  await rejoined
  return performance.now() - from
}

async function afterDisconnect(): Promise<number> {
  const client = connect(WatchedWebSocket)
  await Promise.all(channelsOf(client, 3).map(joined))
  await client.disconnect()
  return process.getActiveResourcesInfo().filter((kind) => /Timeout|Immediate|TCP|TLS/.test(kind)).length
}

async function measure(): Promise<number> {
  const [what, kind, number] = figure.split('-')
  if (what === 'receive' && kind === 'after') return receive(Number(number), frame('binary', PAYLOADS[50]!))
  if (what === 'receive') return receive(1, frame(kind as 'binary' | 'text', PAYLOADS[Number(number)]!))
  const text = JSON.stringify(PAYLOADS[50])
  if (figure === 'parse') return microsEach(() => JSON.parse(text) as unknown, 50)
  if (figure === 'presence') return presence()
  if (figure === 'memory') return memory()
  if (figure === 'rejoin') return rejoin()
  return afterDisconnect()
}

const value = await measure()
// Written at once, not when the process has time; then it ends, or, to be timed, stays for as long as something keeps it.
process.stdout.write(`${value}\n`, () => {
  if (figure !== 'exit') process.exit()
})
