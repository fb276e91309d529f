/** Opens sockets, and joins a private channel on each at once; a process of its own. Beside them one socket joins public channels. */
import { WebSocket } from 'ws'

export interface JoinsJob {
  readonly port: number
  /** A token and a topic a socket; equal ones are allowed. */
  readonly joins: readonly { readonly token: string; readonly topic: string }[]
  readonly publicToken: string
}

export interface JoinsMeasurement {
  readonly elapsedMs: number
  readonly joinMs: readonly number[]
  readonly publicMs: readonly number[]
  /** Reasons of refusals, with their number. */
  readonly refused: Readonly<Record<string, number>>
}

export type JoinsLoadMessage =
  | { readonly kind: 'begin' }
  | ({ readonly kind: 'measured' } & JoinsMeasurement)
  | { readonly kind: 'failed'; readonly reason: string }

const OPENING_AT_ONCE = 100
const PUBLIC_EVERY_MS = 10

process.once('disconnect', () => process.exit())
process.once('message', (job: JoinsJob) => {
  run(job).catch((error: unknown) => report({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }))
})

async function run({ port, joins, publicToken }: JoinsJob): Promise<void> {
  const sockets: Joiner[] = []
  for (let at = 0; at < joins.length; at += OPENING_AT_ONCE)
    sockets.push(...(await Promise.all(joins.slice(at, at + OPENING_AT_ONCE).map(({ token }) => Joiner.open(port, token)))))
  const beside = await Joiner.open(port, publicToken)
  report({ kind: 'begin' })
  const refused: Record<string, number> = {}
  const publicMs: number[] = []
  const joinMs: number[] = []
  let isOver = false
  const publicly = (async () => {
    for (let n = 0; !isOver; n++) {
      publicMs.push((await beside.join(`public ${n}`, false)).ms)
      await new Promise((resolve) => setTimeout(resolve, PUBLIC_EVERY_MS))
    }
  })()
  const startedAt = performance.now()
  await Promise.all(
    joins.map(async ({ topic }, at) => {
      const { ms, reason } = await sockets[at]!.join(topic, true)
      if (reason === null) joinMs.push(ms)
      else refused[reason] = (refused[reason] ?? 0) + 1
    }),
  )
  const elapsedMs = performance.now() - startedAt
  isOver = true
  await publicly
  report({ kind: 'measured', elapsedMs, joinMs, publicMs, refused })
  for (const socket of [...sockets, beside]) socket.end()
}

class Joiner {
  readonly #socket: WebSocket
  #ref = 0
  readonly #waiting = new Map<string, (reason: string | null) => void>()

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data: Buffer) => {
      const [, ref, , event, payload] = JSON.parse(data.toString()) as [unknown, string, unknown, string, Reply]
      if (event === 'phx_reply') this.#waiting.get(ref)?.(payload.status === 'ok' ? null : payload.response.reason)
    })
  }

  static open(port: number, token: string): Promise<Joiner> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&apikey=${token}`)
    return new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.on('open', () => resolve(new Joiner(socket)))
    })
  }

  join(topic: string, isPrivate: boolean): Promise<{ readonly ms: number; readonly reason: string | null }> {
    const ref = String(++this.#ref)
    const at = performance.now()
    this.#socket.send(JSON.stringify([ref, ref, `realtime:${topic}`, 'phx_join', { config: { private: isPrivate } }]))
    return new Promise((resolve) => this.#waiting.set(ref, (reason) => resolve({ ms: performance.now() - at, reason })))
  }

  end(): void {
    this.#socket.terminate()
  }
}

interface Reply {
  readonly status: string
  readonly response: { readonly reason: string }
}

function report(message: JoinsLoadMessage): void {
  process.send?.(message)
}
