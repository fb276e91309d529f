import { CloseCode } from '@tidewire/protocol'
import { pino, type Logger } from 'pino'
import type { Decision, NodeEvent, Observer, Runtime } from '../../ports.ts'
import { lineWriterTo, type LineWriter } from './line-writer.ts'
import { nodeRuntime } from '../node-runtime.ts'

/** Options of a log. */
export interface LogObserverOptions {
  /** Clock and timers. Default: those of Node. */
  readonly runtime?: Pick<Runtime, 'setTimer' | 'uptime'>
  /** The least that is written: decisions are `info`, connections and joins `debug`. Default `info`. */
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** More lines of one code in a second are counted and summed up in one. Default 20. */
  readonly linesPerSecond?: number
  /** The name of this node, for every line; none where there are no others. */
  readonly node?: string | null
  /** Where lines go. Default standard output. */
  readonly lines?: Pick<LineWriter, 'write' | 'flush'>
}

/** A log, and the observer that writes decisions into it. */
export interface Log {
  readonly observer: Observer
  /** `fields` stand beside the message in the line. */
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string): void
  /** Writes a line of another process of the same program unchanged. */
  pass(line: string): void
  error(message: string): void
  /** Resolves when every line is written, or after a second: for the end of the process. */
  flush(): Promise<void>
}

const WINDOW_MS = 1_000

const FLUSH_TIMEOUT_MS = 1_000

/** A log of JSON lines, one a decision. A flood of decisions costs a bounded number of lines; no line holds a token. */
export function logObserver(options: LogObserverOptions = {}): Log {
  const { runtime = nodeRuntime(), level = 'info', linesPerSecond = 20, node = null, lines = lineWriterTo(1) } = options
  const logger = pino({ level, base: node === null ? null : { node }, formatters: { level: (label) => ({ level: label }) } }, lines)
  const budget = new LineBudget(runtime, linesPerSecond, (dropped) =>
    logger.info({ dropped }, 'more decisions than lines: these were left out'),
  )
  return {
    observer: {
      decision: (decision) => {
        // A drain closes every connection at once; the line that announces it counts them.
        if (decision.code === DRAINED) logger.debug({ connection: decision.connection, code: decision.code }, 'closed')
        else if (budget.takes(decision.code)) writeDecision(logger, decision)
      },
      connected: (connection) => logger.debug({ connection }, 'connected'),
      disconnected: (connection, code) => logger.debug({ connection, code }, 'disconnected'),
      joined: (connection, topic) => logger.debug({ connection, topic: shortened(topic) }, 'joined'),
      left: (connection, topic) => logger.debug({ connection, topic: shortened(topic) }, 'left'),
      broadcast: () => {},
      received: () => {},
      nodeEvent: (event) => {
        if (budget.takes(codeOf(event))) writeNodeEvent(logger, event)
      },
    },
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message) => logger.warn(message),
    pass: (line) => lines.write(`${line}\n`),
    error: (message) => logger.error(message),
    flush: () => lines.flush(FLUSH_TIMEOUT_MS),
  }
}

const DRAINED = `close-${CloseCode.serviceRestart}`

function writeDecision(logger: Logger, { kind, code, detail, connection, topic }: Decision): void {
  const fields = { kind, code, connection, topic: topic === undefined ? undefined : shortened(topic) }
  if (code === 'internal-error') logger.error(fields, masked(detail))
  else logger.info(fields, masked(detail))
}

/** Events with the same code share a budget of lines. */
function codeOf(event: NodeEvent): string {
  switch (event.kind) {
    case 'peer':
      return `node-${event.event.kind}`
    case 'link':
      return `link-${event.link.state}`
    case 'gap':
      return 'node-gap'
    case 'fault':
      return `relay-${event.fault.code}`
  }
}

function writeNodeEvent(logger: Logger, event: NodeEvent): void {
  switch (event.kind) {
    case 'peer': {
      const { name, instance, version } = event.event.peer
      const fields = { peer: shortened(name), instance, version: shortened(version) }
      if (event.event.kind === 'up') logger.info(fields, 'another node is up')
      else if (event.event.kind === 'leaving') logger.info(fields, 'another node drains')
      else logger.warn(fields, 'another node is gone')
      return
    }
    case 'link':
      if (event.link.state === 'up') logger.info('connected to the other nodes')
      else logger.warn(`no way to the other nodes: ${masked(event.link.detail)}`)
      return
    case 'gap': {
      const { topics } = event
      const which = topics === 'all' ? 'all topics with members' : `${topics.length} topics`
      logger.warn(`messages of other nodes may have been missed on ${which}`)
      return
    }
    case 'fault': {
      const { code, count, detail } = event.fault
      logger.warn({ code: `relay-${code}`, count }, masked(detail))
    }
  }
}

/** Decides which lines of a second are written, for each code, so that a flood of one hides no other, and sums the rest up when it is over. */
class LineBudget {
  readonly #runtime: Pick<Runtime, 'setTimer' | 'uptime'>
  readonly #perSecond: number
  readonly #sumUp: (dropped: Readonly<Record<string, number>>) => void
  #startedAt = -Infinity
  readonly #written = new Map<string, number>()
  readonly #dropped = new Map<string, number>()

  constructor(
    runtime: Pick<Runtime, 'setTimer' | 'uptime'>,
    perSecond: number,
    sumUp: (dropped: Readonly<Record<string, number>>) => void,
  ) {
    this.#runtime = runtime
    this.#perSecond = perSecond
    this.#sumUp = sumUp
  }

  takes(code: string): boolean {
    const now = this.#runtime.uptime()
    if (now - this.#startedAt >= WINDOW_MS) {
      this.#startedAt = now
      this.#written.clear()
    }
    const written = this.#written.get(code) ?? 0
    if (written < this.#perSecond) {
      this.#written.set(code, written + 1)
      return true
    }
    if (this.#dropped.size === 0) this.#runtime.setTimer(() => this.#close(), this.#startedAt + WINDOW_MS - now)
    this.#dropped.set(code, (this.#dropped.get(code) ?? 0) + 1)
    return false
  }

  #close(): void {
    const dropped = Object.fromEntries(this.#dropped)
    this.#dropped.clear()
    this.#sumUp(dropped)
  }
}

const MAX_NAME = 120

function shortened(name: string): string {
  return name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}…` : name
}

const MAX_DETAIL = 500
/** Longer details are searched up to here only: the search takes quadratic time on some texts. */
const MAX_SEARCHED = 2_000

/** Masks tokens. Details should hold none; this guards against a mistake. */
function masked(detail: string): string {
  return detail
    .slice(0, MAX_SEARCHED)
    .replace(/eyJ[\w-]+\.[\w-]+(\.[\w-]*)?/g, '<token>')
    .slice(0, MAX_DETAIL)
}
