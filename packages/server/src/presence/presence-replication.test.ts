import type { PresenceDiff } from '@tidewire/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StepQueue } from '../limits/step-queue.ts'
import type { Relay, RelayPeer } from '../ports/relay.ts'
import type { Runtime } from '../ports/runtime.ts'
import { PresenceReplication } from './presence-replication.ts'
import { PresenceTracker } from './presence-tracker.ts'

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31)

const STEP_MS = 100
const topic = 'public:room'
/** After the last word of a node: eight whole heartbeats of the node that judges, the one in which it came, and what a step adds. */
const DOWN_MS = 4_700
/** How late a word may come. */
const LATE_MS = 700
/** After the return of the own link: five whole heartbeats, the one in which it came, and what a step adds. */
const DOWN_AFTER_RETURN_MS = 3_200
/** Other nodes may be back so much later than this one. */
const RETURN_WITHIN_MS = 2_400
/** Of what a draining node removed, besides the time over which it closes its clients: five seconds, and the heartbeat that notices. */
const LINGER_MS = 6_200

interface Timer {
  at: number
  readonly run: () => void
}

interface Letter {
  readonly at: number
  readonly from: Process
  readonly to: Process
  readonly bytes: Uint8Array
}

/** One run of a node: its clock stands while it is frozen, as a process's timers do. */
class Process {
  readonly instance: string
  readonly world: World
  readonly tracker: PresenceTracker<object>
  readonly replication: PresenceReplication
  readonly owners = new Map<string, object>()
  /** Keys in the order of their metas, as a client of this node sees them: by reference of the meta. */
  readonly view = new Map<string, string>()
  timers: Timer[] = []
  turnEnds: (() => void)[] = []
  inbox: Letter[] = []
  frozen = false
  /** So much waits to be read that nothing of it comes up. */
  behind = false
  linked = false
  /** Since when nothing kept it from hearing the others. */
  healthySince = 0
  linkedSince = 0
  /** Of its entries: none may be seen any more once the bounds have passed. */
  endedAt: number | null = null

  constructor(world: World, instance: string) {
    this.world = world
    this.instance = instance
    let refs = 0
    this.tracker = new PresenceTracker({ replica: instance, nextPhxRef: () => `${instance}/${++refs}` })
    const self: RelayPeer = { instance, name: instance, version: '1', startedAt: 0 }
    const relay: Pick<Relay, 'self' | 'send' | 'caughtUp'> = {
      self,
      send: (_, bytes, to) => world.send(this, bytes, to),
      caughtUp: () => {
        const { linked } = this
        if (this.behind) return Promise.resolve(false)
        // Settles after the input of this step was read.
        return new Promise((resolve) => void this.turnEnds.push(() => resolve(linked && this.linked)))
      },
    }
    const runtime: Pick<Runtime, 'uptime' | 'setTimer' | 'endOfTurn'> = {
      uptime: () => world.now,
      setTimer: (run, afterMs) => {
        const timer = { at: world.now + afterMs, run }
        this.timers.push(timer)
        return { cancel: () => (this.timers = this.timers.filter((each) => each !== timer)) }
      },
      endOfTurn: (run) => void this.turnEnds.push(run),
    }
    let clock = 0
    this.replication = new PresenceReplication({
      runtime,
      // Each step takes a turn of its own.
      steps: new StepQueue({ uptime: () => (clock += 1_000), endOfTurn: runtime.endOfTurn }),
      relay,
      tracker: this.tracker,
      announce: (diffs) => {
        for (const diff of diffs.values()) this.show(diff)
      },
      fault: (detail) => {
        throw new Error(detail)
      },
    })
    this.replication.start()
  }

  track(owner: string, key: string, value: number): void {
    let object = this.owners.get(owner)
    if (object === undefined) this.owners.set(owner, (object = { owner }))
    const diff = this.tracker.track(topic, key, object, { value })
    if (diff === null || typeof diff === 'string') return
    this.show(diff)
    this.replication.changed()
  }

  untrack(owner: string): void {
    const object = this.owners.get(owner)
    this.owners.delete(owner)
    const diff = object === undefined ? null : this.tracker.untrack(topic, object, this.world.now)
    if (diff === null) return
    this.show(diff)
    this.replication.changed()
  }

  /** What a client makes of a diff; it must always come to the state. */
  show({ joins, leaves }: PresenceDiff): void {
    for (const [key, { metas }] of Object.entries(joins)) for (const { phx_ref } of metas) this.view.set(phx_ref, key)
    for (const { metas } of Object.values(leaves)) for (const { phx_ref } of metas) expect(this.view.delete(phx_ref)).toBe(true)
  }

  get shown(): [ref: string, key: string][] {
    return Object.entries(this.tracker.state(topic)).flatMap(([key, { metas }]) =>
      metas.map(({ phx_ref }): [string, string] => [phx_ref, key]),
    )
  }

  get own(): string[] {
    return this.shown.map(([ref]) => ref).filter((ref) => ref.startsWith(`${this.instance}/`))
  }

  get keys(): string[] {
    return this.shown.map(([, key]) => key).sort()
  }

  setLink(up: boolean): void {
    if (this.linked === up) return
    this.linked = up
    if (up) this.linkedSince = this.healthySince = this.world.now
    else this.inbox = []
    this.replication.onLink(up ? { state: 'up', sinceUptimeMs: 0 } : { state: 'down', sinceUptimeMs: 0, detail: '' })
  }

  /** One turn of the event loop: timers that are due run once, then what has come is read. */
  async turn(): Promise<void> {
    const due = this.timers.filter(({ at }) => at <= this.world.now)
    this.timers = this.timers.filter(({ at }) => at > this.world.now)
    for (const { run } of due) run()
    const letters = this.behind ? [] : this.inbox.filter(({ at }) => at <= this.world.now)
    if (!this.behind) this.inbox = this.inbox.filter(({ at }) => at > this.world.now)
    for (const { bytes, from } of letters) this.replication.onNodeMessage(bytes, from.instance)
    for (let round = 0; round < 4; round++) {
      const ends = this.turnEnds
      this.turnEnds = []
      for (const run of ends) run()
      await Promise.resolve()
    }
  }
}

class World {
  now = 0
  readonly slots: (Process | null)[]
  readonly ended: Process[] = []
  /** Processes that end their drain. */
  readonly closing: { readonly at: number; readonly process: Process }[] = []
  readonly returns: { readonly at: number; readonly run: () => void }[] = []
  /** Group of each slot; only those of one group reach each other. */
  groups: number[]
  faults: ('lose' | 'double' | 'delay')[] = []
  #instances = 0

  constructor(size: number) {
    this.slots = Array.from({ length: size }, () => null)
    this.groups = this.slots.map(() => 0)
    for (const at of this.slots.keys()) this.start(at)
  }

  start(slot: number): Process {
    const process = new Process(this, `i${++this.#instances}`)
    this.slots[slot] = process
    process.healthySince = this.now
    process.setLink(true)
    return process
  }

  get living(): Process[] {
    return this.slots.filter((process) => process !== null)
  }

  groupOf(process: Process): number {
    return this.groups[this.slots.indexOf(process)] ?? -1
  }

  send(from: Process, bytes: Uint8Array, to?: string): boolean {
    if (!from.linked) return false
    for (const other of this.living) {
      if (other === from || (to !== undefined && other.instance !== to)) continue
      if (!other.linked || this.groupOf(other) !== this.groupOf(from)) continue
      const fault = this.faults.shift()
      if (fault === 'lose') continue
      other.inbox.push({ at: this.now + (fault === 'delay' ? LATE_MS : 0), from, to: other, bytes })
      if (fault === 'double') other.inbox.push({ at: this.now + 300, from, to: other, bytes })
    }
    return true
  }

  kill(slot: number): void {
    const process = this.slots[slot]
    if (!process) return
    process.endedAt = this.now
    this.ended.push(process)
    this.slots[slot] = null
  }

  /** Says that it closes its clients' sockets over a time, and does so; each comes back on another node, if there is one, after `awayMs`. */
  drain(slot: number, awayMs: number, spreadMs = 0): void {
    const process = this.slots[slot]
    if (!process || process.frozen) return
    const peer: RelayPeer = { instance: process.instance, name: '', version: '', startedAt: 0 }
    const notify = (kind: 'leaving' | 'down'): void => {
      for (const other of this.living)
        if (other !== process && other.linked && process.linked && this.groupOf(other) === this.groupOf(process))
          other.replication.onPeer(kind === 'leaving' ? { kind, peer, spreadMs } : { kind, peer })
    }
    process.replication.leave(spreadMs)
    notify('leaving')
    for (const [ref, key] of process.shown.filter(([each]) => each.startsWith(`${process.instance}/`))) {
      const other = this.living.find((each) => each !== process && !each.frozen)
      if (other !== undefined) this.returns.push({ at: this.now + awayMs, run: () => other.track(`returned ${ref}`, key, 1) })
    }
    for (const owner of process.owners.keys()) process.untrack(owner)
    this.closing.push({ at: this.now + 300, process })
    this.closers.set(process, { spreadMs, close: () => notify('down') })
  }

  readonly closers = new Map<Process, { readonly spreadMs: number; readonly close: () => void }>()

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.now += STEP_MS
      for (const { at, process } of this.closing) {
        if (at !== this.now || process.endedAt !== null) continue
        this.closers.get(process)?.close()
        this.kill(this.slots.indexOf(process))
      }
      for (const each of this.returns.splice(0)) {
        if (each.at > this.now) this.returns.push(each)
        else each.run()
      }
      for (const process of this.living) if (!process.frozen) await process.turn()
      for (const process of this.living) this.#check(process)
    }
  }

  #check(process: Process): void {
    if (process.frozen) {
      process.healthySince = this.now
      return
    }
    expect(new Map(process.shown)).toEqual(process.view)
    const reaches = (other: Process): boolean => other.linked && !other.frozen && this.groupOf(other) === this.groupOf(process)
    if (!process.linked || !this.living.every(reaches)) process.healthySince = this.now
    for (const [ref] of process.shown) {
      const owner = this.ended.find(({ instance }) => ref.startsWith(`${instance}/`))
      if (owner === undefined) continue
      const since = Math.max(owner.endedAt!, process.healthySince)
      const drained = this.closers.get(owner)
      const bound = drained === undefined ? DOWN_MS + LATE_MS : LINGER_MS + drained.spreadMs
      if (this.now - since > bound) throw new Error(`${ref} is a ghost at ${process.instance}: ${this.now - since} ms`)
    }
  }

  heal(): void {
    this.groups = this.slots.map(() => 0)
    this.faults = []
    for (const process of this.living) {
      process.frozen = false
      process.setLink(true)
    }
  }

  expectAgreement(): void {
    const tracked = this.living.flatMap(({ own }) => own).sort()
    for (const process of this.living) expect(process.shown.map(([ref]) => ref).sort()).toEqual(tracked)
  }
}

const slot = fc.nat({ max: 3 })
const small = fc.nat({ max: 2 })
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('track' as const), slot, owner: small, key: small, value: small }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('untrack' as const), slot, owner: small }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(100, 500, 2_000, 7_000) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('faults' as const),
      faults: fc.array(fc.constantFrom('lose' as const, 'double' as const, 'delay' as const), { maxLength: 8 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('partition' as const), groups: fc.array(fc.nat({ max: 1 }), { minLength: 4, maxLength: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('freeze' as const, 'thaw' as const, 'cut' as const, 'link' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('kill' as const, 'start' as const), slot }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('drain' as const),
      slot,
      awayMs: fc.constantFrom(0, 200, 4_000, 8_000),
      spreadMs: fc.constantFrom(0, 3_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('heal' as const) }) },
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

async function take(world: World, given: Step): Promise<void> {
  if (given.do === 'pass') return world.pass(given.ms)
  if (given.do === 'faults') return void world.faults.push(...given.faults)
  if (given.do === 'partition') return void (world.groups = given.groups)
  if (given.do === 'heal') return world.heal()
  const at = given.slot % world.slots.length
  const process = world.slots[at]
  if (given.do === 'start') return void (process ?? world.start(at))
  if (!process) return
  if (given.do === 'kill') return world.kill(at)
  if (given.do === 'thaw') return void (process.frozen = false)
  if (given.do === 'freeze') return void (process.frozen = true)
  if (process.frozen) return
  if (given.do === 'drain') return world.drain(at, given.awayMs, given.spreadMs)
  if (given.do === 'cut' || given.do === 'link') return process.setLink(given.do === 'link')
  if (world.closers.has(process)) return
  if (given.do === 'track') process.track(`owner ${given.owner}`, `key ${given.key}`, given.value)
  else if (given.do === 'untrack') process.untrack(`owner ${given.owner}`)
}

describe(`presence on many nodes (FC_SEED=${seed})`, () => {
  it('agrees in the end, and keeps no ghost beyond its bound, whatever happens', async () => {
    const story = fc.record({ size: fc.integer({ min: 2, max: 4 }), steps: fc.array(step, { maxLength: 40, size: 'max' }) })
    const property = fc.asyncProperty(story, async ({ size, steps }) => {
      const world = new World(size)
      for (const each of steps) await take(world, each)
      world.heal()
      await world.pass(20_000)
      world.expectAgreement()
    })
    await fc.assert(property, { seed, numRuns: 150 })
  }, 60_000)

  /** Their heartbeats start after so many milliseconds. */
  async function threeNodes(
    phases: readonly number[] = [0, 0, 0],
  ): Promise<{ readonly world: World; readonly nodes: readonly [Process, Process, Process] }> {
    const world = new World(3)
    const nodes = world.living as [Process, Process, Process]
    for (const [at, node] of nodes.entries()) for (const timer of node.timers) timer.at += phases[at]!
    for (const [at, node] of nodes.entries()) node.track('owner', `key ${at}`, 1)
    await world.pass(3_000)
    world.expectAgreement()
    expect(nodes[0].keys).toEqual(['key 0', 'key 1', 'key 2'])
    return { world, nodes }
  }

  it('notices a node that died within five seconds', async () => {
    const { world, nodes } = await threeNodes()
    world.kill(0)
    await world.pass(3_400)
    expect(nodes[1].keys).toContain('key 0')
    await world.pass(1_200)
    expect(nodes[1].keys).toEqual(['key 1', 'key 2'])
    expect(nodes[2].keys).toEqual(['key 1', 'key 2'])
  })

  it('shows a client that comes back from a dead node twice for six seconds at most', async () => {
    const { world, nodes } = await threeNodes()
    world.kill(0)
    nodes[1].track('returned', 'key 0', 1)
    await world.pass(1_000)
    expect(nodes[2].keys).toEqual(['key 0', 'key 0', 'key 1', 'key 2'])
    await world.pass(5_000)
    expect(nodes[2].keys).toEqual(['key 0', 'key 1', 'key 2'])
  })

  /** Of a broker: how long it is away, and when after its return each node is back; `null` for one that dies meanwhile. */
  const backs = fc.array(fc.integer({ min: 0, max: RETURN_WITHIN_MS / STEP_MS }), { minLength: 3, maxLength: 3 })
  const outage = fc.record({
    phases: backs,
    awayMs: fc.constantFrom(100, 2_000, 30_000, 90_000),
    backs,
    died: fc.option(fc.nat({ max: 2 })),
  })

  it('is not emptied when the broker restarts, and lets go of who died meanwhile four seconds after it is back', async () => {
    const property = fc.asyncProperty(outage, async ({ phases, awayMs, backs: steps, died }) => {
      const { world, nodes } = await threeNodes(phases.map((phase) => phase * STEP_MS))
      for (const node of nodes) node.setLink(false)
      await world.pass(awayMs)
      if (died !== null) world.kill(died)
      const living = nodes.filter((_, at) => at !== died)
      const keys = nodes.flatMap((node, at) => (living.includes(node) ? [`key ${at}`] : []))
      for (let passed = 0; passed < 10_000; passed += STEP_MS) {
        for (const [at, node] of nodes.entries()) if (living.includes(node) && passed === steps[at]! * STEP_MS) node.setLink(true)
        await world.pass(STEP_MS)
        for (const each of living) {
          expect(each.keys).toEqual(expect.arrayContaining(keys))
          if (each.linked && world.now - each.linkedSince > DOWN_AFTER_RETURN_MS) expect(each.keys).toEqual(keys)
        }
      }
    })
    await fc.assert(property, { seed, numRuns: 60 })
  }, 60_000)

  it('lets go of a node that died a second before the broker returned within five seconds', async () => {
    const { world, nodes } = await threeNodes()
    for (const node of nodes) node.setLink(false)
    await world.pass(10_000)
    world.kill(0)
    await world.pass(1_000)
    // A relay dials again after 0.75 s at most.
    await world.pass(800)
    for (const node of nodes.slice(1)) node.setLink(true)
    await world.pass(2_400)
    expect(nodes[1].keys).toEqual(['key 0', 'key 1', 'key 2'])
    await world.pass(800)
    for (const node of nodes.slice(1)) expect(node.keys).toEqual(['key 1', 'key 2'])
  })

  it('is not emptied for a process that was frozen', async () => {
    const { world, nodes } = await threeNodes()
    nodes[0].frozen = true
    await world.pass(20_000)
    expect(nodes[1].keys).toEqual(['key 1', 'key 2'])
    nodes[0].frozen = false
    await world.pass(STEP_MS)
    for (let passed = 0; passed < 8_000; passed += STEP_MS) {
      expect(nodes[0].keys).toEqual(['key 0', 'key 1', 'key 2'])
      await world.pass(STEP_MS)
    }
    world.expectAgreement()
  })

  it('does not flicker for a client that came back from a draining node while this process was frozen', async () => {
    const { world, nodes } = await threeNodes()
    world.drain(0, 4_000)
    await world.pass(1_000)
    nodes[2].frozen = true
    await world.pass(20_000)
    expect(nodes[1].keys).toEqual(['key 0', 'key 1'])
    const left: string[] = []
    const show = nodes[2].show.bind(nodes[2])
    nodes[2].show = (diff) => {
      show(diff)
      if (![...nodes[2].view.values()].includes('key 0')) left.push(JSON.stringify(diff))
    }
    nodes[2].frozen = false
    await world.pass(2_000)
    expect(left).toEqual([])
    world.expectAgreement()
  })

  it('is not emptied for a node that is behind with reading', async () => {
    const { world, nodes } = await threeNodes()
    nodes[0].behind = true
    await world.pass(20_000)
    expect(nodes[0].keys).toEqual(['key 0', 'key 1', 'key 2'])
    nodes[0].behind = false
    await world.pass(3_000)
    world.expectAgreement()
  })

  it.each([
    [0, 0],
    [200, 0],
    [4_800, 0],
    [7_800, 3_000],
    [34_800, 60_000],
  ])('does not flicker for a client that comes back %i ms after a node closed it that drains over %i ms', async (awayMs, spreadMs) => {
    const { world, nodes } = await threeNodes()
    world.drain(0, awayMs, spreadMs)
    for (let passed = 0; passed < awayMs + 5_000; passed += STEP_MS) {
      await world.pass(STEP_MS)
      expect(nodes[2].keys).toEqual(['key 0', 'key 1', 'key 2'])
    }
    expect(nodes[1].keys).toEqual(['key 0', 'key 1', 'key 2'])
  })

  it.each([
    [0, 5_000],
    [3_000, 8_000],
    // Longer than any drain that is worth it, whatever a node says.
    [600_000, 35_000],
  ])('lets go of a client that does not come back from a node that drains over %i ms after %i ms', async (spreadMs, lingerMs) => {
    const { world, nodes } = await threeNodes()
    world.drain(0, 60_000, spreadMs)
    await world.pass(lingerMs - 100)
    expect(nodes[2].keys).toContain('key 0')
    await world.pass(1_400)
    expect(nodes[2].keys).toEqual(['key 1', 'key 2'])
  })

  it.each([1_600, 4_800])(
    'a node that starts while a client is between two others shows it, until it is back after %i ms',
    async (awayMs) => {
      const { world, nodes } = await threeNodes()
      world.drain(0, awayMs)
      await world.pass(1_000)
      const fresh = world.start(0)
      // It is notified of changes before it asks for anything.
      for (const node of nodes.slice(1)) node.track('other', 'other', 1)
      await world.pass(STEP_MS)
      for (const node of nodes.slice(1)) node.untrack('other')
      await world.pass(1_200)
      for (let passed = 0; passed < 8_000; passed += STEP_MS) {
        for (const node of [...nodes.slice(1), fresh]) expect(node.keys).toEqual(['key 0', 'key 1', 'key 2'])
        await world.pass(STEP_MS)
      }
      world.expectAgreement()
    },
  )

  it('a node that starts while a client is between two others lets go of one that does not come back, as they do', async () => {
    const { world, nodes } = await threeNodes()
    world.drain(0, 60_000)
    await world.pass(3_000)
    const fresh = world.start(0)
    await world.pass(1_900)
    for (const node of [nodes[1], fresh]) expect(node.keys).toContain('key 0')
    await world.pass(1_400)
    for (const node of [nodes[1], fresh]) expect(node.keys).toEqual(['key 1', 'key 2'])
  })

  it('lets each draining node have its own time', async () => {
    const { world, nodes } = await threeNodes()
    world.drain(0, 60_000, 3_000)
    world.drain(1, 60_000, 0)
    await world.pass(6_300)
    expect(nodes[2].keys).toEqual(['key 0', 'key 2'])
    await world.pass(3_000)
    expect(nodes[2].keys).toEqual(['key 2'])
  })
})
