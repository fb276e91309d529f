import type { DecisionCode } from '../decision-code.ts'
import { isJsonObject, type AdminWelcome, type ClientFrame, type JsonObject } from '@tidewire/protocol'
import type { AdminEndpoint, AdminPeer } from '../connection/admin-endpoint.ts'
import type { AdminPorts, Decision } from '../ports.ts'
import { checkAdminKey, type AdminKey } from '../auth/admin-key.ts'
import { parseAdminRequest } from './admin-requests.ts'
import type { AdminView } from './admin-view.ts'
import { answer, answerAlone, type AnswerContext } from './answers.ts'
import { Fleet, GuestInspector } from './fleet.ts'
import { Inspector, reply, type InspectorPeer } from './inspector.ts'
import type { LogBuffer } from './log-buffer.ts'
import { RecentDecisions } from './recent-decisions.ts'
import { TickSender } from './tick-sender.ts'

const MAX_INSPECTORS = 8

/**
 * The admin channel (section I): admits inspectors, sends them the log, and answers their requests. While none is joined, the
 * last decisions are kept and nothing else is done.
 */
export class AdminChannel implements AdminEndpoint {
  readonly #ports: AdminPorts
  readonly #view: AdminView
  readonly #startedAt: number
  readonly #decisions = new RecentDecisions()
  readonly #inspectors = new Map<InspectorPeer, Inspector>()
  /** `null`: this process serves its port alone. */
  readonly #fleet: Fleet | null
  /** Sockets whose key is being checked. */
  readonly #entering = new Set<AdminPeer>()
  #ticks: TickSender | null = null

  constructor(ports: AdminPorts, view: AdminView) {
    this.#ports = ports
    this.#view = view
    this.#startedAt = view.runtime.now()
    const enter = (inspector: Inspector): void => this.#enter(inspector)
    const leave = ({ peer }: Inspector): void => this.#closed(peer)
    this.#fleet = view.hasSiblings ? new Fleet({ runtime: view.runtime, nodes: view.nodes, enter, leave }) : null
  }

  /** Takes a message of another process that serves the same port. Returns whether it was understood. */
  onSibling(message: JsonObject & { readonly id: number }, from: string): boolean {
    return this.#fleet?.onMessage(message, from) ?? false
  }

  /** Answers a question of another process that serves the same port, for one of its inspectors. `undefined`: not understood. */
  answerSibling(question: JsonObject): Promise<unknown> | undefined {
    const parsed = parseAdminRequest(String(question['type']), question)
    return parsed.ok ? answerAlone(parsed.request, this.#context()) : undefined
  }

  /** To be called with every decision, also while there is no inspector. */
  onDecision(decision: Decision): void {
    this.#decisions.add(decision, this.#view.runtime.now())
  }

  /** Whether it is a good admin key: a socket may be opened with it, to join this channel and no other. Never rejects. */
  check(token: string): Promise<AdminKey> {
    return checkAdminKey(token, this.#ports.verifier, this.#view.runtime.now())
  }

  receive(frame: ClientFrame, peer: AdminPeer): void {
    const { event, joinRef, ref } = frame
    if (event === 'phx_join') return void this.#join(frame, peer)
    const inspector = this.#inspectors.get(peer)
    if (inspector === undefined) return reply(peer, joinRef, ref, 'error', { reason: 'unmatched topic' })
    switch (event) {
      case 'phx_leave':
        inspector.reply(ref, 'ok', {})
        return this.closed(peer)
      case 'access_token':
        return peer.rates.allowJoin() ? void this.#renew(inspector, tokenOf(frame) ?? '') : peer.closeForJoins()
      default: {
        const parsed = parseAdminRequest(event, frame.payload.kind === 'json' ? frame.payload.value : null)
        if (parsed.ok) answer(parsed.request, ref, inspector, this.#context())
        else inspector.reply(ref, 'error', { reason: parsed.reason })
      }
    }
  }

  closed(peer: AdminPeer): void {
    this.#entering.delete(peer)
    this.#closed(peer)
  }

  #closed(peer: InspectorPeer): void {
    const inspector = this.#inspectors.get(peer)
    if (inspector === undefined) return
    this.#inspectors.delete(peer)
    this.#fleet?.closed(inspector)
    if (this.#ticks !== null) this.#ticks.traffic.logs = this.#logs()
    if (this.#inspectors.size > 0) return
    this.#ticks?.stop()
    this.#ticks = null
  }

  async #join({ joinRef, ref, topic, ...frame }: ClientFrame, peer: AdminPeer): Promise<void> {
    const refuse = (code: DecisionCode, reason: string): void => {
      this.#view.decide({ kind: 'join-refused', code, detail: reason, connection: peer.id, topic })
      reply(peer, joinRef, ref, 'error', { reason })
    }
    if (!peer.rates.allowJoin()) {
      refuse('too-many-joins', 'ClientJoinRateLimitReached: Too many joins per second')
      return peer.closeForJoins()
    }
    if (peer.foreignOrigin) return refuse('admin-origin', 'ForeignOrigin: the inspector is for pages of this server only')
    this.#entering.add(peer)
    const token = tokenOf(frame) ?? peer.token
    const key = await this.check(token)
    // The socket closed or left in the meantime.
    if (!this.#entering.delete(peer)) return
    if (!key.ok) return refuse(key.code, key.reason)
    const own = [...this.#inspectors.values()].filter((each) => !(each instanceof GuestInspector))
    if (own.length >= MAX_INSPECTORS && !this.#inspectors.has(peer))
      return refuse('too-many-inspectors', `TooManyInspectors: ${MAX_INSPECTORS} inspectors are open already`)
    this.closed(peer)
    const inspector = this.#fleet?.inspector(peer, joinRef, key.expiresAtMs) ?? new Inspector(peer, joinRef, key.expiresAtMs)
    const welcome: AdminWelcome = {
      node: this.#view.node?.self.name ?? null,
      version: this.#ports.version,
      startedAt: this.#startedAt,
      sql: (this.#ports.sql ?? null) !== null,
      database: this.#view.hasDatabase,
    }
    inspector.reply(ref, 'ok', welcome)
    this.#enter(inspector)
  }

  #enter(inspector: Inspector): void {
    this.#ticks ??= new TickSender(this.#view, this.#decisions, {
      all: () => this.#inspectors.values(),
      expired: (each) => this.#expel(each, 'admin-key-expired', 'AdminKeyExpired: the admin key has expired'),
    })
    const { traffic, directory } = this.#ticks
    this.#inspectors.set(inspector.peer, inspector)
    traffic.logs = this.#logs()
    inspector.notify('admin_state', directory.state())
  }

  async #renew(inspector: Inspector, token: string): Promise<void> {
    const key = await this.check(token)
    if (this.#inspectors.get(inspector.peer) !== inspector) return
    if (key.ok) inspector.expiresAtMs = key.expiresAtMs
    else this.#expel(inspector, key.code, key.reason)
  }

  #logs(): LogBuffer[] {
    return [...this.#inspectors.values()].map(({ log }) => log)
  }

  #context(): AnswerContext {
    return { ports: this.#ports, view: this.#view, decisions: this.#decisions, startedAt: this.#startedAt }
  }

  #expel(inspector: Inspector, code: DecisionCode, reason: string): void {
    if (inspector instanceof GuestInspector) return this.#closed(inspector.peer)
    this.#view.decide({ kind: 'channel-closed', code, detail: reason, connection: inspector.peer.id, topic: 'tidewire:admin' })
    inspector.close(reason)
    this.#closed(inspector.peer)
  }
}

function tokenOf({ payload }: Pick<ClientFrame, 'payload'>): string | null {
  if (payload.kind !== 'json' || !isJsonObject(payload.value)) return null
  const token = payload.value['access_token']
  return typeof token === 'string' ? token : null
}
