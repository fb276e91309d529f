import { batch, computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import {
  parseTopicKey,
  type AdminEvents,
  type AdminRequests,
  type AdminTopicDetail,
  type AdminWatch,
  type AdminWelcome,
} from '@tidewire/protocol'
import type { Link, LinkListener, LinkState } from './link/link.ts'
import { ConnectionList } from './stores/connection-list.ts'
import { Figures } from './stores/figures.ts'
import { LogStore, type LogEntry } from './stores/log-store.ts'
import { TopicList } from './stores/topic-list.ts'
import { emptyWhyForm, type WhyForm } from './stores/why-form.ts'

export type SideTab = 'latency' | 'presence' | 'connections' | 'why'
/** A sentence shown for a moment; `count` distinguishes it from an equal one before. */
export interface Notice {
  readonly text: string
  readonly count: number
}

export type Pane = 'topics' | 'log' | 'side'

/** All that the page shows of a server, and what the user has chosen. */
export class Inspector implements LinkListener {
  readonly log: LogStore = new LogStore()
  readonly topics: TopicList = new TopicList()
  readonly connections: ConnectionList = new ConnectionList()
  readonly figures: Figures = new Figures()

  readonly link: Signal<LinkState> = signal({ kind: 'connecting' })
  /** From the last successful join. */
  readonly welcome: Signal<AdminWelcome | null> = signal(null)
  readonly watch: Signal<AdminWatch> = signal({ payloads: true, match: '' })

  /** Key of the chosen topic. */
  readonly topic: Signal<string | null> = signal(null)
  readonly detail: Signal<AdminTopicDetail | null> = signal(null)
  readonly connection: Signal<string | null> = signal(null)
  readonly entry: Signal<LogEntry | null> = signal(null)
  readonly why: Signal<WhyForm> = signal(emptyWhyForm)
  readonly tab: Signal<SideTab> = signal('latency')
  /** The part that is shown where only one fits. */
  readonly pane: Signal<Pane> = signal('log')

  readonly notice: Signal<Notice | null> = signal(null)

  readonly isOpen: ReadonlySignal<boolean> = computed(() => this.link.value.kind === 'open')
  readonly #now: () => number
  #link: Link | null = null
  #lostAt: number | null = null
  #notices = 0

  constructor(now: () => number) {
    this.#now = now
  }

  connect(open: (listener: LinkListener) => Link): void {
    this.#link?.close()
    this.#link = open(this)
  }

  request<Name extends keyof AdminRequests>(name: Name, request: AdminRequests[Name][0]): Promise<AdminRequests[Name][1]> {
    return this.#link?.request(name, request) ?? Promise.reject(new Error('The page is not connected.'))
  }

  state(state: LinkState): void {
    const before = this.link.value
    this.link.value = state
    if (before.kind === 'open' && state.kind !== 'open') this.#lostAt = this.#now()
    if (state.kind !== 'open') return
    this.welcome.value = state.welcome
    if (this.#lostAt !== null) {
      const seconds = Math.max(1, Math.round((this.#now() - this.#lostAt) / 1_000))
      this.log.mark(`The page had no connection for ${seconds} s; what happened meanwhile is not shown`)
      this.#lostAt = null
    }
    void this.setWatch(this.watch.value)
  }

  event<Name extends keyof AdminEvents>(name: Name, payload: AdminEvents[Name]): void {
    batch(() => {
      if (name === 'admin_log') this.log.append(payload as AdminEvents['admin_log'])
      else if (name === 'admin_tick') this.#tick(payload as AdminEvents['admin_tick'])
      else this.#replace(payload as AdminEvents['admin_state'])
    })
  }

  /** Asks for another log; the server answers with what it applied. */
  async setWatch(watch: AdminWatch): Promise<void> {
    this.watch.value = watch
    try {
      this.watch.value = await this.request('admin_watch', watch)
    } catch {
      // A lost connection asks again when it is back.
    }
  }

  /** Chooses a topic, by its key. */
  chooseTopic(key: string | null): void {
    batch(() => {
      this.topic.value = key
      this.detail.value = null
    })
    void this.refreshTopic()
  }

  /** Asks again which members the chosen topic has. */
  async refreshTopic(): Promise<void> {
    const key = this.topic.value
    if (key === null || !this.isOpen.value) return
    const { name, private: isPrivate } = parseTopicKey(key)
    try {
      const detail = await this.request('admin_topic', { topic: name, private: isPrivate })
      if (this.topic.value === key) this.detail.value = detail
    } catch {
      if (this.topic.value === key) this.detail.value = null
    }
  }

  showTab(tab: SideTab): void {
    batch(() => {
      this.tab.value = tab
      this.pane.value = 'side'
    })
  }

  /** Shows a sentence for a moment. */
  notify(text: string): void {
    this.notice.value = { text, count: ++this.#notices }
  }

  /** Opens "Why?", filled in as far as it is known. */
  askWhy(known: Partial<WhyForm>): void {
    batch(() => {
      this.why.value = { ...this.why.value, ...known }
      this.showTab('why')
    })
  }

  #tick(tick: AdminEvents['admin_tick']): void {
    this.figures.add(tick)
    this.topics.change(tick.topics)
    this.connections.change(tick.connectionsChanged)
  }

  #replace({ topics, connections, moreTopics, moreConnections }: AdminEvents['admin_state']): void {
    this.topics.replace(topics, moreTopics)
    this.connections.replace(connections, moreConnections)
  }
}
