import { isJsonObject, type AdminEvents, type AdminWatch, type JsonObject, type Ref } from '@tidewire/protocol'
import type { AdminPeer } from '../connection/admin-endpoint.ts'
import type { NodeAdmin } from '../cluster/node-admin.ts'
import type { Runtime, TimerHandle } from '../ports.ts'
import { FleetView } from './fleet-view.ts'
import { Inspector } from './inspector.ts'

export interface FleetOptions {
  readonly runtime: Pick<Runtime, 'now' | 'setTimer'>
  readonly nodes: Pick<NodeAdmin, 'siblings' | 'sendToSiblings'>
  /** An inspector of another process of this server asks for the log of this one, until it is expired or closed. */
  readonly enter: (inspector: Inspector) => void
  readonly leave: (inspector: Inspector) => void
}

const KEEP_MS = 5_000
/** Inspectors of other processes must renew in this time: a process that was killed does not say that they are gone. */
const LEASE_MS = 15_000
const OWN = ''

/**
 * Shows the processes that serve one port as one server: each sends what happens on it to the inspectors of the others, which an
 * inspector of this process sees as one.
 */
export class Fleet {
  readonly #options: FleetOptions
  /** Inspectors of this process. */
  readonly #open = new Map<number, FleetInspector>()
  /** Inspectors of other processes, by process and number. */
  readonly #guests = new Map<string, GuestInspector>()
  #count = 0
  #keeping: TimerHandle | null = null

  constructor(options: FleetOptions) {
    this.#options = options
  }

  inspector(peer: AdminPeer, joinRef: Ref, expiresAtMs: number): Inspector {
    const id = ++this.#count
    const inspector = new FleetInspector(peer, joinRef, expiresAtMs, () => this.#ask(id, inspector))
    this.#open.set(id, inspector)
    this.#ask(id, inspector)
    if (this.#keeping === null) this.#keeping = this.#options.runtime.setTimer(this.#keep, KEEP_MS)
    return inspector
  }

  closed(inspector: Inspector): void {
    for (const [id, each] of this.#open) {
      if (each !== inspector) continue
      this.#open.delete(id)
      this.#options.nodes.sendToSiblings({ type: 'inspect', id, open: false })
    }
    for (const [key, guest] of this.#guests) if (guest === inspector) this.#guests.delete(key)
  }

  /** Takes a message of a sibling process. Returns whether it was understood. */
  onMessage(message: JsonObject & { readonly id: number }, from: string): boolean {
    const { type, id, open, watch, event, payload } = message
    if (type === 'inspect') {
      if (open === true && isWatch(watch)) this.#serve(`${from} ${id}`, id, watch, from)
      else if (open === false) this.#dismiss(`${from} ${id}`)
      else return false
      return true
    }
    if (type !== 'inspected' || !isJsonObject(payload)) return false
    this.#open.get(id)?.take(from, event, payload)
    return true
  }

  readonly #keep = (): void => {
    this.#keeping = this.#open.size === 0 ? null : this.#options.runtime.setTimer(this.#keep, KEEP_MS)
    const running = new Set([OWN, ...this.#options.nodes.siblings().map(({ instance }) => instance)])
    for (const [id, inspector] of this.#open) {
      this.#ask(id, inspector)
      inspector.keepOnly(running)
    }
  }

  #ask(id: number, inspector: FleetInspector): void {
    const { payloads, match } = inspector.log.watch
    this.#options.nodes.sendToSiblings({ type: 'inspect', id, open: true, watch: { payloads, match } })
  }

  #serve(key: string, id: number, watch: AdminWatch, from: string): void {
    const { runtime, nodes, enter } = this.#options
    const expiresAtMs = runtime.now() + LEASE_MS
    let guest = this.#guests.get(key)
    if (guest === undefined) {
      guest = new GuestInspector(expiresAtMs, (event, payload) => nodes.sendToSiblings({ type: 'inspected', id, event, payload }, from))
      this.#guests.set(key, guest)
      enter(guest)
    }
    guest.expiresAtMs = expiresAtMs
    guest.setWatch(watch)
  }

  #dismiss(key: string): void {
    const guest = this.#guests.get(key)
    this.#guests.delete(key)
    if (guest !== undefined) this.#options.leave(guest)
  }
}

/** An inspector of this process, which sees all processes as one. */
class FleetInspector extends Inspector {
  readonly #view = new FleetView()
  readonly #watchChanged: () => void

  constructor(peer: AdminPeer, joinRef: Ref, expiresAtMs: number, watchChanged: () => void) {
    super(peer, joinRef, expiresAtMs)
    this.#watchChanged = watchChanged
  }

  override setWatch(watch: AdminWatch): void {
    super.setWatch(watch)
    this.#watchChanged()
  }

  override notify<Event extends keyof AdminEvents>(event: Event, payload: AdminEvents[Event]): void {
    this.#add(OWN, event, payload)
    if (event === 'admin_state') super.notify('admin_state', this.#view.state())
    if (event === 'admin_tick') super.notify('admin_tick', this.#view.takeTick(payload as AdminEvents['admin_tick']))
    const log = this.#view.takeLog()
    if (log !== null) super.notify('admin_log', log)
  }

  /** Takes a message of another process for this inspector. Ticks and logs are merged with those of this process. */
  take(from: string, event: unknown, payload: JsonObject): void {
    if (event !== 'admin_state' && event !== 'admin_tick' && event !== 'admin_log') return
    this.#add(from, event, payload as unknown as AdminEvents[typeof event])
    if (event === 'admin_state' && !this.isBehind) super.notify('admin_state', this.#view.state())
  }

  keepOnly(processes: ReadonlySet<string>): void {
    if (this.#view.keepOnly(processes) && !this.isBehind) super.notify('admin_state', this.#view.state())
  }

  #add(process: string, event: keyof AdminEvents, payload: AdminEvents[keyof AdminEvents]): void {
    if (event === 'admin_state') this.#view.setState(process, payload as AdminEvents['admin_state'])
    else if (event === 'admin_tick') this.#view.addTick(process, payload as AdminEvents['admin_tick'])
    else this.#view.addLog(payload as AdminEvents['admin_log'])
  }
}

/** An inspector of another process. It asks its own process, and is only notified by this one. */
export class GuestInspector extends Inspector {
  readonly #send: (event: string, payload: JsonObject) => void

  constructor(expiresAtMs: number, send: (event: string, payload: JsonObject) => void) {
    super({ id: '', version: '2.0.0', backlogBytes: 0, write: () => {} }, null, expiresAtMs)
    this.#send = send
  }

  override notify<Event extends keyof AdminEvents>(event: Event, payload: AdminEvents[Event]): void {
    this.#send(event, payload as unknown as JsonObject)
  }

  override close(): void {}
}

function isWatch(value: unknown): value is AdminWatch {
  return isJsonObject(value) && typeof value['payloads'] === 'boolean' && typeof value['match'] === 'string'
}
