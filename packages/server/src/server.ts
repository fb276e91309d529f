import { AdminChannel } from './admin/admin-channel.ts'
import type { AdminView } from './admin/admin-view.ts'
import { allObservers, Observers } from './all-observers.ts'
import { Admissions } from './auth/admission.ts'
import { noAuthorizer, timedAuthorizer } from './auth/authorizers.ts'
import type { Services } from './channel/services.ts'
import { NodeAdmin, type OwnFigures } from './cluster/node-admin.ts'
import { Nodes } from './cluster/nodes.ts'
import { connectionLimits, type ConnectionLimits } from './connection/connection-limits.ts'
import { Connection } from './connection/connection.ts'
import { Connections } from './connection/connections.ts'
import type { ConnectionDetails, Transport } from './connection/transport.ts'
import { checkUpgrade, type UpgradeAdmission } from './connection/upgrade-check.ts'
import { RateCounter } from './limits/rate-counter.ts'
import { StepQueue } from './limits/step-queue.ts'
import { UnfinishedMessages } from './limits/unfinished-messages.ts'
import type { ResolvedServerOptions } from './options.ts'
import type { Decision, FeedLag, FeedProgress, Observer, PublishOutcome, PublishRequest } from './ports.ts'
import type { ServerPorts } from './ports/server.ts'
import { PresenceTracker } from './presence/presence-tracker.ts'
import { publish, publishTrusted, type TrustedPublish } from './publish.ts'
import { FlushScheduler } from './topic/flush-scheduler.ts'
import { Publisher } from './topic/publisher.ts'
import { RelayOutbox } from './topic/relay-outbox.ts'
import { Topics } from './topic/topics.ts'

/**
 * One node, without its sockets: takes transports, gives connections.
 */
export class Server {
  readonly options: ResolvedServerOptions
  readonly connections: Connections
  readonly topics: Topics
  /** Unfinished messages of all sockets. */
  readonly unfinished: UnfinishedMessages
  readonly #ports: ServerPorts
  readonly #services: Services
  readonly #observers = new Observers([])
  /** The observer of the ports, which is never detached. */
  readonly #first: Observer
  #watchers: readonly Observer[] = []
  readonly #limits: ConnectionLimits
  readonly #admissions: Admissions
  readonly #upgrades: RateCounter
  readonly #admin: AdminChannel | null
  readonly #nodes: Nodes | null
  readonly #nodeAdmin: NodeAdmin
  #connectionCount = 0
  #isLeaving = false

  constructor(options: ResolvedServerOptions, ports: ServerPorts) {
    const { runtime } = ports
    this.options = options
    this.#ports = ports
    this.connections = new Connections(options.limits.maxConnectedUsers)
    const { maxUnfinishedBytes, frameTimeoutMs } = options.limits
    this.unfinished = new UnfinishedMessages({ maxBytes: maxUnfinishedBytes, timeoutMs: frameTimeoutMs }, runtime)
    const scheduler = new FlushScheduler(runtime, { lingerMs: options.lingerMs })
    const relay = ports.relay ?? null
    this.topics = new Topics(scheduler, relay)
    const publisher = new Publisher({
      runtime,
      topics: this.topics,
      observer: this.#observers,
      tracer: ports.tracer ?? null,
      outbox: relay === null ? null : new RelayOutbox(relay, scheduler),
    })
    this.#admissions = new Admissions(ports.verifier, () => runtime.now(), options.requiredClaims)
    this.#upgrades = new RateCounter(options.limits.maxJoinsPerSecond, runtime.uptime())
    this.#limits = connectionLimits(options)
    const presence = new PresenceTracker<object>({
      replica: relay === null ? base64url(runtime.randomBytes(9)) : relay.self.instance,
      maxTopicBytes: options.limits.maxPresenceBytes,
      nextPhxRef: () => base64url(runtime.randomBytes(12)),
    })
    this.#nodeAdmin = new NodeAdmin({
      runtime,
      relay,
      version: relay?.self.version ?? ports.admin?.version ?? '',
      startedAt: relay?.self.startedAt ?? runtime.now(),
      figures: () => this.#figures(),
      disconnect: (target) => this.connections.disconnect(target),
      ...(ports.processes && {
        isSibling: ports.processes.isSibling,
        onSibling: (message, from) => this.#admin?.onSibling(message, from) ?? false,
        answerSibling: (question) => this.#admin?.answerSibling(question),
      }),
    })
    const admin = this.#nodeAdmin
    const steps = new StepQueue(runtime)
    const nodes =
      relay === null
        ? null
        : new Nodes({ runtime, relay, topics: this.topics, publisher, presence, admin, observer: this.#observers, steps })
    this.#nodes = nodes
    this.#services = {
      runtime,
      limits: options.limits,
      topics: this.topics,
      publisher,
      isClustered: relay !== null,
      presence,
      presenceChanged: () => nodes?.presenceChanged(),
      fanOutTimes: scheduler.fanOutTimes,
      largeFrames: steps,
      authorizer: ports.authorizer ? timedAuthorizer(ports.authorizer, runtime, (ms) => this.observer.authorized?.(ms)) : noAuthorizer,
      messageStore: ports.messageStore ?? null,
      changeFeed: ports.changeFeed ?? null,
      observer: this.#observers,
      showsFailedPolicies: options.showsFailedPolicies,
      admit: (token, headers) => this.#admissions.admit(token, headers),
    }
    this.#admin = ports.admin ? new AdminChannel(ports.admin, this.#adminView()) : null
    this.connections.admin = this.#admin
    this.#first = this.#withAdmin(ports.observer)
    this.#observe()
    this.#nodes?.start()
  }

  /** Notifies every observer. */
  get observer(): Observer {
    return this.#observers
  }

  /** Attaches one more observer. Returns the function that detaches it. */
  watch(observer: Observer): () => void {
    this.#watchers = [...this.#watchers, observer]
    this.#observe()
    return () => {
      this.#watchers = this.#watchers.filter((each) => each !== observer)
      this.#observe()
    }
  }

  /** Whether a socket may be opened with this API key (rules A1, H1). Never rejects. */
  async admitConnection(apiKey: string | null | undefined, headers: Readonly<Record<string, string>>): Promise<UpgradeAdmission> {
    const admission = await this.checkUpgrade(apiKey ?? '', headers)
    if (!admission.ok) this.observer.decision({ kind: 'upgrade-refused', code: admission.code, detail: admission.text })
    return admission
  }

  /** Takes a socket whose handshake is done. */
  accept(details: Omit<ConnectionDetails, 'id'>, transport: Transport): Connection {
    const id = `${this.#ports.processes?.prefix ?? ''}${(++this.#connectionCount).toString(36)}`
    const connection = new Connection({ id, ...details }, transport, this.#services, this.connections, this.#limits)
    this.connections.add(connection)
    this.observer.connected(id)
    return connection
  }

  /** Publishes a broadcast over HTTP, after asking the policies where it is private. Never rejects. */
  publish(request: PublishRequest): Promise<PublishOutcome> {
    return publish(this.#services, request)
  }

  /** Publishes a broadcast that its source has allowed. Returns the number of receivers on this node. */
  publishTrusted(request: TrustedPublish): number {
    return publishTrusted(this.#services, request)
  }

  /** Resolves when this node holds the presence of the others, or after `withinMs`; at once where it is the only one. */
  synchronized(withinMs: number): Promise<void> {
    return this.#nodes?.synchronized(withinMs) ?? Promise.resolve()
  }

  /** Whether it is about to stop: load balancers should send no new clients. */
  get isLeaving(): boolean {
    return this.#isLeaving
  }

  /** Notifies the other nodes that the clients of this one are about to come back on them, within `spreadMs`. Goes on serving. */
  leave(spreadMs = 0): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#nodes?.leave(spreadMs)
  }

  /** Refuses new sockets and joins from now on, and closes the next `most` sockets. Returns how many are left. */
  drain(most?: number): number {
    this.leave()
    return this.connections.drain(most)
  }

  /** Leaves the other nodes and closes the relay. */
  async close(): Promise<void> {
    await this.#nodes?.close()
  }

  /** To be called every second (`SWEEP_INTERVAL_MS`). */
  sweep(): void {
    this.connections.sweep()
    this.unfinished.sweep()
    const { changeFeed, runtime } = this.#ports
    if (this.observer.feedLag === undefined) return
    const progress = changeFeed?.progress?.()
    if (progress !== undefined) this.observer.feedLag(lagOf(progress, runtime.now()))
  }

  #figures(): OwnFigures {
    const { changeFeed, relay, runtime } = this.#ports
    const progress = changeFeed?.progress?.()
    const lag = progress === undefined ? null : lagOf(progress, runtime.now())
    const alone = relay?.link.state === 'down' ? relay.link.detail : null
    return {
      connections: this.connections.size,
      topics: this.topics.size,
      lagBytes: lag?.bytes ?? null,
      lagMs: lag?.ms ?? null,
      trouble: this.#isLeaving ? 'The server is shutting down.' : (progress?.trouble ?? alone),
    }
  }

  #adminView(): AdminView {
    const { changeFeed, runtime, authorizer, relay } = this.#ports
    return {
      node: relay ?? null,
      nodes: this.#nodeAdmin,
      hasSiblings: Boolean(this.#ports.processes),
      runtime,
      connections: this.connections,
      topics: this.topics,
      limits: this.options.limits,
      privateOnly: this.options.privateOnly,
      hasDatabase: Boolean(authorizer ?? changeFeed),
      watch: (observer) => this.watch(observer),
      decide: (decision) => this.observer.decision(decision),
      feedProgress: () => changeFeed?.progress?.() ?? null,
    }
  }

  /** Keeps the last decisions for inspectors, which ask about decisions of before they joined. */
  #withAdmin(observer: Observer): Observer {
    const admin = this.#admin
    if (admin === null) return observer
    const decision = (made: Decision): void => {
      admin.onDecision(made)
      observer.decision(made)
    }
    return { ...allObservers([observer]), decision }
  }

  /** Measures only durations for which some observer has a method. */
  #observe(): void {
    const { changeFeed, runtime } = this.#ports
    this.#observers.set([this.#first, ...this.#watchers])
    const { fannedOut, changed } = this.#observers
    this.#services.fanOutTimes.measured = fannedOut ?? null
    changeFeed?.observe?.(
      changed === undefined ? null : (change) => changed({ ...change, ms: Math.max(0, runtime.now() - change.committedAt) }),
    )
  }

  /** The answer that an upgrade would get; counts as one. Never rejects. */
  checkUpgrade(apiKey: string, headers: Readonly<Record<string, string>>): Promise<UpgradeAdmission> {
    return checkUpgrade(apiKey, {
      draining: this.connections.draining,
      examine: (token) => this.#admissions.examine(token, headers),
      checkAdminKey: (token) => this.#admin?.check(token),
      allowUser: () => this.connections.mayJoin(),
      allowUpgrade: () => !this.#upgrades.add(this.#ports.runtime.uptime()),
    })
  }
}

function lagOf({ lagBytes, oldestAt, faults = 0 }: FeedProgress, now: number): FeedLag {
  return { bytes: lagBytes, ms: oldestAt === null ? 0 : Math.max(0, now - oldestAt), faults }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}
