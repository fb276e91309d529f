import { TranscriptClient } from './client.ts'
import { amended, type Deviation } from './deviations.ts'
import { formatFrame } from '../recording/frame.ts'
import { request, responseMismatches } from './http.ts'
import { Inbox } from './inbox.ts'
import { madeUpByServer, Renaming, type Classify } from '../recording/renaming.ts'
import { describeMismatch, type Difference, type PlayReport } from './report.ts'
import { beginningOf, expectations, isAction, isQuietBefore, nextAction, saidByClients } from '../recording/script.ts'
import { TokenRenewal } from '../recording/tokens.ts'
import { versionOf, type RecordedFrame, type Step, type StepOf, type Transcript } from '../recording/transcript.ts'

export interface PlayOptions {
  /** The server under test, `ws://host:port`. */
  readonly url: string
  /** The secret that the server checks HS256 tokens with. */
  readonly secret: string
  readonly deviations?: readonly Deviation[]
  /** How long to wait for what must come before it counts as missing. Default 3000. */
  readonly deadlineMs?: number
  /** Runs a recorded statement; without it a recording that has one is refused. */
  readonly sql?: (sql: string, params: readonly unknown[]) => Promise<unknown>
  /** Resolves when what was committed so far has been delivered; asked for before the player listens. */
  readonly delivered?: () => Promise<unknown>
  /** Hears what the recorder was trying, before it is tried; for what the recorder did outside of the wire. */
  readonly remark?: (text: string) => Promise<unknown> | undefined
  /** Says what else the server makes up; see `madeUpByServer`. */
  readonly madeUp?: Classify
}

/** The host that the recordings were made on; any other is meant. */
const RECORDED_HOST = 'realtime-dev.localhost'
const DEFAULT_DEADLINE_MS = 3000
/** Once things have gone missing, more will: those are not waited for as long. */
const SHORT_DEADLINE_MS = 250

/** Plays a recording against a server and reports every difference. Leaves no socket behind. */
export async function playTranscript(transcript: Transcript, options: PlayOptions): Promise<PlayReport> {
  const play = new Play(transcript, options)
  try {
    return await play.run()
  } finally {
    play.end()
  }
}

class Play {
  readonly #name: string
  readonly #steps: readonly Step[]
  readonly #options: PlayOptions
  readonly #tokens: TokenRenewal
  readonly #renaming: Renaming
  readonly #inboxes = new Map<string, Inbox>()
  readonly #clients = new Map<string, TranscriptClient>()
  readonly #differences: Difference[] = []
  #compared = 0
  #deadlineMs: number
  #badSignature = false
  /** The step that is being played. */
  #at = 0
  #wake: () => void = () => {}

  constructor(transcript: Transcript, options: PlayOptions) {
    this.#name = transcript.name
    this.#steps = amended(transcript, options.deviations ?? [])
    this.#options = options
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS
    this.#tokens = new TokenRenewal(options.secret, transcript.startedAt)
    const builtIn = madeUpByServer(saidByClients(this.#steps))
    this.#renaming = new Renaming((path, value, key) => options.madeUp?.(path, value, key) ?? builtIn(path, value, key))
    for (const [client, expected] of expectations(this.#steps)) this.#inboxes.set(client, new Inbox(expected, this.#renaming))
  }

  async run(): Promise<PlayReport> {
    for (const [index, step] of this.#steps.entries()) {
      if ((isAction(step) && step.kind !== 'open') || (step.kind === 'remark' && this.#options.remark !== undefined))
        await this.#comeTo(index)
      this.#at = index
      await this.#take(step)
    }
    this.#at = this.#steps.length
    await this.#settle(this.#at)
    await this.#listen()
    return { name: this.#name, compared: this.#compared, differences: this.#differences }
  }

  end(): void {
    for (const client of this.#clients.values()) client.terminate()
  }

  /** Waits for what was recorded before an action, and where the recorder listened, listens. */
  async #comeTo(index: number): Promise<void> {
    const start = beginningOf(this.#steps, index)
    await this.#settle(start)
    const step = this.#steps[index]!
    if (isQuietBefore(this.#steps, start) || step.kind === 'closed') await this.#listen()
  }

  async #take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'open':
        // The first to come finds nothing on its way that was sent before it: the recorder's server had delivered it to no client.
        if (this.#clients.size === 0) await this.#options.delivered?.()
        return this.#open(step)
      case 'opened':
        return this.#opened(step)
      case 'refused':
        return this.#refused(step)
      case 'send':
        return this.#send(step)
      case 'closed':
        return this.#closed(step)
      case 'request':
        return this.#request(step)
      case 'sql':
        if (this.#options.sql === undefined) throw new TypeError(`${this.#name}:${step.line} needs a database`)
        await this.#options.sql(step.sql, step.params)
        return
      case 'remark': {
        this.#badSignature = isBadSignature(step.text)
        const heard = this.#options.remark?.(step.text)
        if (heard !== undefined) await heard
        return
      }
      case 'receive':
      case 'aside':
        return
    }
  }

  #open(step: StepOf<'open'>): void {
    const recorded = new URL(this.#tokens.unmask(step.url, this.#badSignature))
    const url = new URL(recorded.pathname + recorded.search, this.#options.url)
    const headers: Record<string, string> = recorded.hostname === RECORDED_HOST ? {} : { host: recorded.host }
    const client = new TranscriptClient(step.client, url.href, versionOf(step.url), headers, {
      frame: (frame) => this.#arrived(step.client, frame),
      changed: () => this.#wake(),
    })
    this.#clients.set(step.client, client)
  }

  async #opened(step: StepOf<'opened'>): Promise<void> {
    const client = this.#client(step.client)
    await this.#until(() => client.state.kind !== 'connecting')
    const { state } = client
    if (state.kind !== 'open') this.#differ(step, step.client, 'connection differs', 'open', JSON.stringify(state))
    else if (state.extensions !== '') this.#differ(step, step.client, 'connection differs', 'no extensions', state.extensions)
    this.#compared++
  }

  async #refused(step: StepOf<'refused'>): Promise<void> {
    const client = this.#client(step.client)
    await this.#until(() => client.state.kind !== 'connecting')
    const { state } = client
    this.#compared++
    if (state.kind !== 'refused') this.#differ(step, step.client, 'connection differs', 'refused', state.kind)
    else this.#answer(step, step.client, state.response)
  }

  #send(step: StepOf<'send'>): void {
    const client = this.#client(step.client)
    if (client.state.kind !== 'open') {
      this.#differ(step, step.client, 'connection differs', 'open', client.state.kind)
      return
    }
    client.send(typeof step.frame === 'string' ? this.#tokens.renew(step.frame, step.tMs) : step.frame, step.asText)
  }

  async #closed(step: StepOf<'closed'>): Promise<void> {
    const client = this.#client(step.client)
    if (client.state.kind === 'refused') return
    if (step.by === 'client') client.close(step.code)
    await this.#until(() => client.state.kind === 'closed')
    const { state } = client
    this.#compared++
    if (state.kind === 'closed' && state.code === step.code && state.reason === step.reason) return
    const actual = state.kind === 'closed' ? `${state.code} "${state.reason}"` : state.kind
    this.#differ(step, step.client, 'connection differs', `closed ${step.code} "${step.reason}"`, actual)
  }

  async #request(step: StepOf<'request'>): Promise<void> {
    const bad = isBadSignature(step.label)
    const { headers, path, ...rest } = step.request
    const { host, ...others } = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, this.#tokens.unmask(value, bad)]))
    const response = await request(this.#options.url, this.#deadlineMs, {
      ...rest,
      path: this.#tokens.unmask(path, bad),
      headers: host === undefined || host.startsWith(RECORDED_HOST) ? others : { ...others, host },
    })
    this.#compared++
    if (response === null) this.#differ(step, step.label, 'no answer', String(step.response.status))
    else this.#answer(step, step.label, response)
  }

  #answer(step: StepOf<'request'> | StepOf<'refused'>, client: string, actual: StepOf<'request'>['response']): void {
    for (const { part, was, is } of responseMismatches(this.#renaming, step.response, actual))
      this.#differ(step, client, 'answer differs', was, is, part)
  }

  #arrived(name: string, frame: RecordedFrame): void {
    const arrival = this.#inbox(name).take(frame, {
      due: nextAction(this.#steps, this.#at + 1, false),
      burst: nextAction(this.#steps, this.#at + 1, true),
      played: (line) => this.#steps.findIndex((step) => step.line === line) <= this.#at,
    })
    if (arrival.kind === 'not recorded')
      this.#differences.push({ line: this.#line(), client: name, kind: 'not recorded', actual: formatFrame(frame) })
    else this.#compared++
    if (arrival.kind === 'out of order') {
      const { expected, instead } = arrival
      this.#differ(expected.step, name, 'out of order', formatFrame(instead.step.frame), formatFrame(frame))
    } else if (arrival.kind === 'differs') {
      const { expected, mismatch } = arrival
      this.#differ(expected.step, name, 'differs', formatFrame(expected.step.frame), formatFrame(frame), describeMismatch(mismatch))
    }
    this.#wake()
  }

  #inbox(name: string): Inbox {
    const known = this.#inboxes.get(name)
    if (known !== undefined) return known
    const empty = new Inbox([], this.#renaming)
    this.#inboxes.set(name, empty)
    return empty
  }

  /** Waits for everything recorded before `index`; what does not come is missing. */
  async #settle(index: number): Promise<void> {
    const awaited = [...this.#inboxes.values()].flatMap((inbox) => inbox.missingBefore(index))
    await this.#until(() => awaited.every(({ step, state }) => state === 'done' || !this.#mayReceive(step.client)))
    for (const expected of awaited) {
      if (expected.state === 'done') continue
      this.#differ(expected.step, expected.step.client, 'missing', formatFrame(expected.step.frame))
      expected.state = 'done'
    }
  }

  #mayReceive(name: string): boolean {
    const state = this.#clients.get(name)?.state.kind
    return state === 'connecting' || state === 'open'
  }

  /** Lets the server say all that it has to say: twice round, so that what a first heartbeat overtook is in too. */
  async #listen(): Promise<void> {
    await this.#options.delivered?.()
    const open = [...this.#clients.values()].filter(({ state }) => state.kind === 'open')
    for (let round = 0; round < 2; round++) {
      for (const client of open) if (client.state.kind === 'open') client.askBarrier()
      await this.#until(() => open.every((client) => client.isQuiet || client.state.kind !== 'open'))
    }
    for (const client of open)
      if (!client.isQuiet && client.state.kind === 'open')
        this.#differences.push({ line: this.#line(), client: client.name, kind: 'no answer', detail: 'a heartbeat is not answered' })
  }

  /** Resolves when the condition holds, or at the deadline. */
  async #until(condition: () => boolean): Promise<void> {
    if (condition()) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#deadlineMs = Math.min(this.#deadlineMs, SHORT_DEADLINE_MS)
        resolve()
      }, this.#deadlineMs)
      this.#wake = () => {
        if (condition()) resolve()
      }
    })
    clearTimeout(timer)
    this.#wake = () => {}
  }

  #client(name: string): TranscriptClient {
    const client = this.#clients.get(name)
    if (client === undefined) throw new TypeError(`${this.#name}:${this.#line()}: client ${name} has no socket`)
    return client
  }

  /** Where things stand: the last thing that was done. */
  #line(): number {
    return this.#steps.findLast((step, index) => index <= this.#at && isAction(step))?.line ?? 0
  }

  #differ(step: Step, client: string, kind: Difference['kind'], recorded: string, actual?: string, detail?: string): void {
    this.#differences.push({
      line: step.line,
      client,
      kind,
      recorded,
      ...(actual === undefined ? {} : { actual }),
      ...(detail === undefined ? {} : { detail }),
    })
  }
}

function isBadSignature(text: string): boolean {
  return /bad.sig/i.test(text)
}
