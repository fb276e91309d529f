import type { DecisionCode } from '../decision-code.ts'
import { isJsonObject, type AdminTick, type AdminTopicDetail, type AdminWelcome, type ClientFrame } from '@tidewire/protocol'
import { Channel } from '../channel/channel.ts'
import { presenceOf } from '../channel/presence.ts'
import type { AdminDoor, AdminPeer } from '../connection/admin-door.ts'
import type { Connections } from '../connection/connections.ts'
import type { AdminPorts, Claims, Decision, FeedProgress, Observer, Runtime, TimerHandle } from '../ports.ts'
import type { Limits } from '../limits/limits.ts'
import type { Topics } from '../topic/topics.ts'
import { checkAdminKey, type AdminKey } from './admin-key.ts'
import { parseAdminRequest, type AdminRequest } from './admin-requests.ts'
import { Inspector, reply } from './inspector.ts'
import { RecentDecisions } from './recent-decisions.ts'
import { Roster } from './roster.ts'
import { Traffic } from './traffic.ts'
import { explainedTable, why } from './why.ts'

/** What the admin channel sees of its server. */
export interface AdminView {
  readonly runtime: Runtime
  readonly connections: Connections
  readonly topics: Topics
  readonly limits: Limits
  readonly privateOnly: boolean
  readonly hasDatabase: boolean
  /** Lets an observer see what happens until the function that it returns is called. */
  watch(observer: Observer): () => void
  decide(decision: Decision): void
  /** `null`: there is no feed. */
  feedProgress(): FeedProgress | null
}

const LOG_INTERVAL_MS = 100
const LOGS_A_TICK = 5
const MAX_INSPECTORS = 8
/** So many presences of a topic are listed. */
const MAX_LISTED = 500

/** Everything that is there only while somebody looks. */
interface Watching {
  readonly traffic: Traffic
  readonly roster: Roster
  readonly stop: () => void
  timer: TimerHandle
  logs: number
  tickAt: number
}

/**
 * The admin channel (section I): lets inspectors in, tells them what happens, and answers what they ask. While nobody is
 * joined, the last decisions are kept and nothing else is done.
 */
export class AdminChannel implements AdminDoor {
  readonly #ports: AdminPorts
  readonly #view: AdminView
  readonly #startedAt: number
  readonly #decisions = new RecentDecisions()
  readonly #inspectors = new Map<AdminPeer, Inspector>()
  /** Sockets whose key is being checked. */
  readonly #entering = new Set<AdminPeer>()
  #watching: Watching | null = null

  constructor(ports: AdminPorts, view: AdminView) {
    this.#ports = ports
    this.#view = view
    this.#startedAt = view.runtime.now()
  }

  /** To be told of every decision, watched or not. */
  decided(decision: Decision): void {
    this.#decisions.add(decision, this.#view.runtime.now())
  }

  /** Whether it is a good admin key: a socket may be opened with it, to join this channel and no other. Never rejects. */
  check(token: string): Promise<AdminKey> {
    return checkAdminKey(token, this.#ports.verifier, this.#view.runtime.now())
  }

  receive(frame: ClientFrame, peer: AdminPeer): void {
    const { event, joinRef, ref } = frame
    if (!peer.allowEvent()) return reply(peer, joinRef, ref, 'error', { reason: 'TooManyRequests: too many messages per second' })
    if (event === 'phx_join') return void this.#join(frame, peer)
    const inspector = this.#inspectors.get(peer)
    if (inspector === undefined) return reply(peer, joinRef, ref, 'error', { reason: 'unmatched topic' })
    switch (event) {
      case 'phx_leave':
        inspector.reply(ref, 'ok', {})
        return this.closed(peer)
      case 'access_token':
        return void this.#renew(inspector, tokenOf(frame) ?? '')
      default: {
        const parsed = parseAdminRequest(event, frame.payload.kind === 'json' ? frame.payload.value : null)
        if (parsed.ok) this.#answer(parsed.request, frame, inspector)
        else inspector.reply(ref, 'error', { reason: parsed.reason })
      }
    }
  }

  closed(peer: AdminPeer): void {
    const inspector = this.#inspectors.get(peer)
    this.#entering.delete(peer)
    if (inspector === undefined) return
    this.#inspectors.delete(peer)
    this.#watching?.traffic.logs.delete(inspector.log)
    if (this.#inspectors.size === 0) this.#stopWatching()
  }

  async #join({ joinRef, ref, topic, ...frame }: ClientFrame, peer: AdminPeer): Promise<void> {
    const refuse = (code: DecisionCode, reason: string): void => {
      this.#view.decide({ kind: 'join-refused', code, detail: reason, connection: peer.id, topic })
      reply(peer, joinRef, ref, 'error', { reason })
    }
    if (peer.foreignOrigin) return refuse('admin-origin', 'ForeignOrigin: the inspector is for pages of this server only')
    this.#entering.add(peer)
    const token = tokenOf(frame) ?? peer.token
    const key = await this.check(token)
    // Gone, or left, in the meantime.
    if (!this.#entering.delete(peer)) return
    if (!key.ok) return refuse(key.code, key.reason)
    if (this.#inspectors.size >= MAX_INSPECTORS && !this.#inspectors.has(peer))
      return refuse('too-many-inspectors', `TooManyInspectors: ${MAX_INSPECTORS} inspectors are open already`)
    this.closed(peer)
    this.#enter(new Inspector(peer, joinRef, key.expiresAtMs), ref)
  }

  #enter(inspector: Inspector, ref: ClientFrame['ref']): void {
    this.#watching ??= this.#startWatching()
    const { traffic, roster } = this.#watching
    this.#inspectors.set(inspector.peer, inspector)
    traffic.logs.add(inspector.log)
    const welcome: AdminWelcome = {
      version: this.#ports.version,
      startedAt: this.#startedAt,
      sql: (this.#ports.sql ?? null) !== null,
      database: this.#view.hasDatabase,
    }
    inspector.reply(ref, 'ok', welcome)
    inspector.tell('admin_state', roster.state())
  }

  async #renew(inspector: Inspector, token: string): Promise<void> {
    const key = await this.check(token)
    if (this.#inspectors.get(inspector.peer) !== inspector) return
    if (key.ok) inspector.expiresAtMs = key.expiresAtMs
    else this.#expel(inspector, key.code, key.reason)
  }

  #expel(inspector: Inspector, code: DecisionCode, reason: string): void {
    this.#view.decide({ kind: 'channel-closed', code, detail: reason, connection: inspector.peer.id, topic: 'tidewire:admin' })
    inspector.close(reason)
    this.closed(inspector.peer)
  }

  #answer(request: AdminRequest, { ref }: ClientFrame, inspector: Inspector): void {
    switch (request.event) {
      case 'admin_watch':
        inspector.log.setWatch(request.watch)
        return inspector.reply(ref, 'ok', inspector.log.watch)
      case 'admin_topic':
        return inspector.reply(ref, 'ok', this.#topicDetail(request.topic, request.private))
      case 'admin_sql': {
        const { sql } = this.#ports
        if (!sql) return inspector.reply(ref, 'error', { reason: 'SqlOff: SQL runs only under `tidewire dev` with a database' })
        return void inspector.ask(ref, async () => {
          const ran = await sql.run(request.sql)
          return ran.ok ? { ok: true, answer: ran.result } : ran
        })
      }
      case 'admin_table':
        return void inspector.ask(ref, () => explainedTable(request.schema, request.table, this.#ports.explainer ?? null))
      case 'admin_why':
        return void inspector.ask(ref, () =>
          why(request.question, {
            connections: this.#view.connections,
            decisions: this.#decisions,
            explainer: this.#ports.explainer ?? null,
            limits: this.#view.limits,
            privateOnly: this.#view.privateOnly,
            nowMs: this.#view.runtime.now(),
          }),
        )
    }
  }

  #topicDetail(name: string, isPrivate: boolean): AdminTopicDetail {
    const topic = this.#view.topics.find(name, isPrivate)
    const presences = new Map<string, { readonly key: string; readonly metas: Claims[]; readonly since: number[] }>()
    const connections: string[] = []
    for (const subscriber of topic?.subscribers() ?? []) {
      if (!(subscriber instanceof Channel) || connections.length >= MAX_LISTED) continue
      connections.push(subscriber.connection.id)
      const tracked = presenceOf(subscriber)
      if (tracked === null) continue
      let presence = presences.get(tracked.key)
      if (presence === undefined) presences.set(tracked.key, (presence = { key: tracked.key, metas: [], since: [] }))
      presence.metas.push(tracked.meta)
      presence.since.push(subscriber.presentSince ?? this.#startedAt)
    }
    return { topic: name, private: isPrivate, members: topic?.size ?? 0, presences: [...presences.values()], connections }
  }

  #startWatching(): Watching {
    const { runtime, connections, topics } = this.#view
    const roster = new Roster(connections, topics, (connection, code) => ({
      code,
      reason: this.#decisions.about(connection, null).find(({ kind }) => kind === 'connection-closed')?.detail ?? '',
      at: runtime.now(),
    }))
    const traffic = new Traffic(roster, runtime)
    for (const { topic } of topics.all()) traffic.channels += topic.size
    const timer = runtime.setTimer(() => this.#step(), LOG_INTERVAL_MS)
    return { traffic, roster, stop: this.#view.watch(traffic), timer, logs: 0, tickAt: runtime.uptime() }
  }

  #stopWatching(): void {
    this.#watching?.timer.cancel()
    this.#watching?.stop()
    this.#watching = null
  }

  #step(): void {
    const watching = this.#watching
    if (watching === null) return
    const { runtime } = this.#view
    for (const inspector of this.#inspectors.values()) {
      if (runtime.now() >= inspector.expiresAtMs) this.#expel(inspector, 'admin-key-expired', 'AdminKeyExpired: the admin key has expired')
      else if (!inspector.isBehind) {
        const log = inspector.log.take()
        if (log !== null) inspector.tell('admin_log', log)
      }
    }
    if (++watching.logs % LOGS_A_TICK === 0) this.#tick(watching)
    if (this.#watching === watching) watching.timer = runtime.setTimer(() => this.#step(), LOG_INTERVAL_MS)
  }

  #tick(watching: Watching): void {
    const tick = this.#takeTick(watching)
    for (const inspector of this.#inspectors.values()) {
      if (inspector.isBehind) {
        inspector.missedTicks = true
        continue
      }
      if (inspector.missedTicks) inspector.tell('admin_state', watching.roster.state())
      inspector.missedTicks = false
      inspector.tell('admin_tick', tick)
    }
  }

  #takeTick(watching: Watching): AdminTick {
    const { runtime, connections } = this.#view
    const { traffic, roster } = watching
    const now = runtime.now()
    const seconds = Math.max(0.001, (runtime.uptime() - watching.tickAt) / 1_000)
    watching.tickAt = runtime.uptime()
    const progress = this.#view.feedProgress()
    const trouble = connections.draining ? 'The server is shutting down.' : (progress?.trouble ?? null)
    const counts = traffic.takeCounts()
    const changes = roster.takeChanges()
    return {
      at: now,
      healthy: trouble === null,
      trouble,
      connections: connections.size,
      channels: traffic.channels,
      receivedPerSecond: Math.round(counts.received / seconds),
      deliveredPerSecond: Math.round(counts.delivered / seconds),
      fanOut: traffic.fanOut.take(),
      insertToFrame: traffic.insertToFrame.take(),
      feed:
        progress === null
          ? null
          : { lagBytes: progress.lagBytes, lagMs: progress.oldestAt === null ? 0 : Math.max(0, Math.round(now - progress.oldestAt)) },
      topics: changes.topics,
      connectionsChanged: changes.connections,
    }
  }
}

function tokenOf({ payload }: Pick<ClientFrame, 'payload'>): string | null {
  if (payload.kind !== 'json' || !isJsonObject(payload.value)) return null
  const token = payload.value['access_token']
  return typeof token === 'string' ? token : null
}
