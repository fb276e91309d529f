/** What it costs that every node holds all presence: memory, messages, and how long it takes until nodes agree. */
import { setTimeout as delay } from 'node:timers/promises'
// Not by name: tests and benchmarks start it in the same way.
import { freePort } from '../../../packages/testkit/src/sockets/free-port.ts'
import { NatsServer } from '../../../packages/testkit/src/programs/nats-server.ts'
import { cpuMicrosOf } from '../child.ts'
import { reportHead, table, type ReportHead } from '../report.ts'
import { signToken } from '../token.ts'
import { PresenceSocket, type Entry } from './presence-socket.ts'
import { SECRET, TidewireNode } from './node.ts'

const NODES = ['a', 'b', 'c']
const MEMBERS_PER_TOPIC = 10
const CHANNELS_PER_SOCKET = 1_000
/** Topics at which the node that joins is asked whether it holds all. */
const SAMPLE = 500
const STEP_MS = 180_000
/** For garbage, and for what is under way. */
const SETTLE_MS = 5_000

export interface PresenceFigures {
  readonly entries: number
  readonly nodes: readonly { readonly name: string; readonly emptyMb: number; readonly joinedMb: number; readonly trackedMb: number }[]
  /** Until every channel was answered, and until every channel saw all entries of its topic. */
  readonly trackedMs: number
  readonly seenMs: number
  readonly natsMessages: number
  readonly natsMb: number
  readonly quietNatsMessagesPerSecond: number
  /** CPU of all three nodes for one entry, which three to four clients of each node are notified of. */
  readonly cpuMicrosPerEntry: number
  readonly joining: { readonly synchronizedMs: number; readonly equalMs: number; readonly mb: number }
  /** From kill -9 until the last client of each other node was notified of the last entry that left. */
  readonly forgottenMs: readonly number[]
}

export async function benchPresence(quick: boolean): Promise<PresenceFigures> {
  const entries = quick ? 10_000 : 100_000
  const monitor = await freePort()
  const nats = await NatsServer.start(`http: "127.0.0.1:${monitor}"`)
  const nodes: TidewireNode[] = []
  const socketsOf = new Map<string, PresenceSocket[]>()
  const all = (): PresenceSocket[] => [...socketsOf.values()].flat()
  try {
    for (const name of NODES) nodes.push(await TidewireNode.start(name, nats.url))
    const apiKey = signToken({ role: 'anon' }, SECRET)
    await delay(SETTLE_MS)
    const empty = nodes.map(({ residentBytes }) => residentBytes)
    for (const [at, node] of nodes.entries()) {
      const own = entriesOf(at, entries)
      const sockets: PresenceSocket[] = []
      // Members of one topic follow each other, and are not on one socket.
      const count = Math.ceil(own.length / CHANNELS_PER_SOCKET)
      for (let number = 0; number < count; number++)
        sockets.push(
          await PresenceSocket.open(
            node.port,
            apiKey,
            own.filter((_, place) => place % count === number),
          ),
        )
      socketsOf.set(node.name, sockets)
    }
    await Promise.all(all().map((socket) => socket.join()))
    await delay(SETTLE_MS)
    const joined = nodes.map(({ residentBytes }) => residentBytes)
    say(`${entries} channels joined`)

    const [before, cpuBefore] = [await trafficOf(monitor), cpuOf(nodes)]
    const startedAt = performance.now()
    await Promise.all(all().map((socket) => socket.track()))
    const trackedMs = performance.now() - startedAt
    await until(
      () => sum(all(), ({ entered }) => entered) >= entries * MEMBERS_PER_TOPIC,
      () => `every channel saw its topic: ${sum(all(), ({ entered }) => entered)} of ${entries * MEMBERS_PER_TOPIC}`,
    )
    const seenMs = performance.now() - startedAt
    const [after, cpuAfter] = [await trafficOf(monitor), cpuOf(nodes)]
    say(`tracked after ${Math.round(trackedMs)} ms, seen by all after ${Math.round(seenMs)} ms`)
    await delay(SETTLE_MS)
    const quietFrom = await trafficOf(monitor)
    await delay(SETTLE_MS)
    const quietTo = await trafficOf(monitor)
    const tracked = nodes.map(({ residentBytes }) => residentBytes)

    const fourth = await TidewireNode.start('d', nats.url)
    nodes.push(fourth)
    const probe = await PresenceSocket.open(fourth.port, apiKey, sampleOf(entries))
    await probe.join()
    await until(
      () => probe.entered >= SAMPLE * MEMBERS_PER_TOPIC,
      () => `the fourth node holds all: ${probe.entered}`,
    )
    const equalMs = performance.now() - (fourth.listensSince - fourth.synchronizedMs)
    probe.close()
    await delay(SETTLE_MS)
    const joining = { synchronizedMs: fourth.synchronizedMs, equalMs, mb: mb(fourth.residentBytes) }
    say(`the fourth node is equal after ${Math.round(equalMs)} ms`)

    const survivors = NODES.slice(0, 2)
    const expected = new Map(survivors.map((name, at) => [name, leavesAt(at, entries)]))
    const killedAt = performance.now()
    await nodes[2]!.stop('SIGKILL')
    const leftAt = (name: string): number => sum(socketsOf.get(name)!, ({ left }) => left)
    await until(
      () => survivors.every((name) => leftAt(name) >= expected.get(name)!),
      () => `all forgot the killed node: ${survivors.map(leftAt).join()} of ${[...expected.values()].join()}`,
    )
    const forgottenMs = survivors.map((name) => Math.max(...socketsOf.get(name)!.map(({ lastLeftAt }) => lastLeftAt)) - killedAt)
    say(`forgotten after ${forgottenMs.map(Math.round).join(' and ')} ms`)
    const closed = survivors.flatMap((name) => socketsOf.get(name)!).filter(({ isOpen }) => !isOpen).length
    if (closed > 0) throw new Error(`${closed} sockets of the other nodes were closed`)
    return {
      entries,
      nodes: NODES.map((name, at) => ({ name, emptyMb: mb(empty[at]!), joinedMb: mb(joined[at]!), trackedMb: mb(tracked[at]!) })),
      trackedMs,
      seenMs,
      natsMessages: after.messages - before.messages,
      natsMb: mb(after.bytes - before.bytes),
      quietNatsMessagesPerSecond: ((quietTo.messages - quietFrom.messages) * 1_000) / SETTLE_MS,
      cpuMicrosPerEntry: (cpuAfter - cpuBefore) / entries,
      joining,
      forgottenMs,
    }
  } finally {
    for (const socket of all()) socket.close()
    await Promise.all(nodes.map((node) => node.stop('SIGKILL')))
    await nats.close()
  }
}

export function formatPresenceReport(head: Omit<ReportHead, 'conditions'>, figures: PresenceFigures): string {
  const { entries, nodes, trackedMs, seenMs, natsMessages, natsMb, quietNatsMessagesPerSecond, cpuMicrosPerEntry, joining, forgottenMs } =
    figures
  const perEntry = (from: number, to: number): string => (((to - from) * 2 ** 20) / entries).toFixed(0)
  const conditions = [
    `Three \`tidewire start\` and one NATS; ${entries} channels, each tracks one entry of about 90 B; ${entries / MEMBERS_PER_TOPIC} topics with ${MEMBERS_PER_TOPIC} members, spread over the nodes.`,
    'Memory is the resident set of the process, 5 s after the last change. All processes, and the clients in one of them, share the machine.',
  ]
  const memory = table(
    ['node', 'empty MB', 'channels joined MB', 'all tracked MB', 'presence, B an entry of all'],
    nodes.map(({ name, emptyMb, joinedMb, trackedMb }) => [
      name,
      emptyMb.toFixed(0),
      joinedMb.toFixed(0),
      trackedMb.toFixed(0),
      perEntry(joinedMb, trackedMb),
    ]),
  )
  const rest = table(
    ['', ''],
    [
      ['tracked and answered', `${seconds(trackedMs)}, ${perSecond(entries, trackedMs)} entries/s`],
      ['seen by every client', `${seconds(seenMs)}, ${perSecond(entries * MEMBERS_PER_TOPIC, seenMs)} entries/s at all clients`],
      ['CPU of all nodes', `${cpuMicrosPerEntry.toFixed(0)} µs an entry, with its ${MEMBERS_PER_TOPIC} deliveries`],
      ['to NATS meanwhile', `${natsMessages} messages, ${perSecond(natsMessages, seenMs)}/s, ${natsMb.toFixed(1)} MB`],
      ['to NATS when nothing changes', `${quietNatsMessagesPerSecond.toFixed(1)} messages/s`],
      ['a fourth node takes clients', `${seconds(joining.synchronizedMs)} after it reached NATS`],
      ['a fourth node holds all', `within ${seconds(joining.equalMs)} (${SAMPLE} topics asked), ${joining.mb.toFixed(0)} MB`],
      ['a killed node is forgotten by each other', forgottenMs.map(seconds).join(' and ')],
    ],
  )
  return [...reportHead({ ...head, conditions }), ...memory, '', ...rest, ''].join('\n')
}

/** Members of a topic are on the nodes in turn. */
function entriesOf(node: number, entries: number): Entry[] {
  return Array.from({ length: entries }, (_, at) => ({ topic: Math.floor(at / MEMBERS_PER_TOPIC), key: `k${at}` })).filter(
    (_, at) => at % NODES.length === node,
  )
}

function sampleOf(entries: number): Entry[] {
  const topics = entries / MEMBERS_PER_TOPIC
  return Array.from({ length: SAMPLE }, (_, at) => ({ topic: Math.floor((at * topics) / SAMPLE), key: `probe${at}` }))
}

/** How many leaves the clients of a node are notified of when the third node goes. */
function leavesAt(node: number, entries: number): number {
  const gone = countByTopic(entriesOf(2, entries))
  return sum(entriesOf(node, entries), ({ topic }) => gone.get(topic) ?? 0)
}

function countByTopic(entries: readonly Entry[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  for (const { topic } of entries) counts.set(topic, (counts.get(topic) ?? 0) + 1)
  return counts
}

/** What nodes handed to NATS so far. */
async function trafficOf(monitor: number): Promise<{ readonly messages: number; readonly bytes: number }> {
  const answer = await fetch(`http://127.0.0.1:${monitor}/varz`)
  const { in_msgs: messages, in_bytes: bytes } = (await answer.json()) as { readonly in_msgs: number; readonly in_bytes: number }
  return { messages, bytes }
}

function cpuOf(nodes: readonly TidewireNode[]): number {
  return sum(nodes, ({ pid }) => cpuMicrosOf(pid) ?? NaN)
}

async function until(read: () => boolean, what: () => string): Promise<void> {
  const deadline = performance.now() + STEP_MS
  while (!read()) {
    if (performance.now() > deadline) throw new Error(`not so within ${STEP_MS / 1_000} s: ${what()}`)
    await delay(10)
  }
}

function sum<Each>(each: readonly Each[], of: (one: Each) => number): number {
  return each.reduce((total, one) => total + of(one), 0)
}

function mb(bytes: number): number {
  return bytes / 2 ** 20
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}

function perSecond(count: number, ms: number): string {
  return ((count * 1_000) / ms).toFixed(0)
}

function say(text: string): void {
  console.error(text)
}
