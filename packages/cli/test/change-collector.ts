import { compareLogPositions, parsePosition, type Position } from '@tidewire/postgres'
import { sendHeartbeats } from '@tidewire/testkit'
import { WebSocket } from 'ws'

export interface Collected {
  readonly position: Position
  readonly record: Readonly<Record<string, unknown>>
}

interface Payload {
  readonly message?: string
  readonly position?: string
  readonly recovered?: boolean
  readonly reason?: string
  readonly data?: {
    readonly position: string
    readonly record: Record<string, unknown>
    readonly errors: unknown
    readonly superseded?: true
  }
}

/** A raw socket that joins again with the last position it saw, as long as it lives, and writes down all that it gets. */
export class ChangeCollector {
  readonly changes: Collected[] = []
  /** What must not happen, in words. */
  readonly faults: string[] = []
  joins = 0
  readonly #url: () => string
  readonly #entry: object
  #last: string | null = null
  #socket: WebSocket | null = null
  #closed = false
  #wake: () => void = () => {}

  /** `url` may be another one at each connection. */
  constructor(url: string | (() => string), token: string, entry: object) {
    this.#url = () => `${(typeof url === 'string' ? url : url()).replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${token}`
    this.#entry = entry
    this.#connect()
  }

  async until(holds: () => boolean, deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs
    while (!holds()) {
      const left = deadline - Date.now()
      if (left <= 0)
        throw new Error(`it did not come about; ${this.changes.length} changes, ${this.joins} joins, ${this.faults.join('; ')}`)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, left)
        this.#wake = resolve
      })
      clearTimeout(timer)
    }
  }

  /** Breaks the connection; another one follows at once. */
  reconnect(): void {
    this.#socket?.terminate()
  }

  close(): void {
    this.#closed = true
    this.#socket?.terminate()
  }

  #connect(): void {
    if (this.#closed) return
    const socket = new WebSocket(this.#url())
    this.#socket = socket
    socket.on('error', () => {})
    sendHeartbeats(socket)
    socket.on('close', () => setTimeout(() => this.#connect(), 50))
    socket.on('open', () => {
      const since = this.#last === null ? {} : { since: this.#last }
      const config = { postgres_changes: [this.#entry], postgres_changes_options: { positions: true, ...since } }
      socket.send(JSON.stringify(['1', '1', 'realtime:journal', 'phx_join', { config }]))
    })
    socket.on('message', (data: Buffer) => {
      const [, , , event, payload] = JSON.parse(data.toString()) as [unknown, unknown, unknown, string, Payload]
      if (event === 'system') this.#system(payload)
      if (event === 'postgres_changes') this.#change(payload.data!)
      // A join that is refused is tried again from a new socket.
      if (event === 'phx_close' || (event === 'phx_reply' && (payload as { status?: string }).status === 'error')) socket.terminate()
      this.#wake()
    })
  }

  #system({ message, position, recovered, reason }: Payload): void {
    if (message === 'Subscribed to PostgreSQL') {
      this.joins++
      if (this.#last !== null && recovered !== true) this.faults.push(`not recovered: ${reason}`)
    } else if (message?.startsWith('Changes may have been missed') === true) this.faults.push(message)
    if (position !== undefined) this.#last = position
  }

  #change({ position: text, record, errors, superseded }: NonNullable<Payload['data']>): void {
    const position = parsePosition(text)
    if (position === null || errors !== null || superseded === true) {
      this.faults.push(`a change that says nothing: ${JSON.stringify({ text, errors, superseded })}`)
      return
    }
    const before = this.changes.at(-1)
    if (before !== undefined && compareLogPositions(position, before.position) <= 0)
      this.faults.push(`${text} came after ${before.position.commitLsn}/${before.position.seq}`)
    this.#last = text
    this.changes.push({ position, record })
  }
}
