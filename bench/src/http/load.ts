/** Publishes over HTTP from sockets that stay open, and listens on a WebSocket; a process of its own. */
import { connect, type Socket } from 'node:net'
import { WebSocket } from 'ws'

export interface HttpJob {
  readonly port: number
  readonly apiKey: string
  readonly route: 'batch' | 'single'
  readonly inFlight: number
  readonly messagesPerRequest: number
  readonly warmUpMs: number
  readonly measureMs: number
}

export interface HttpMeasurement {
  readonly requests: number
  readonly elapsedMs: number
  /** From the request to the message, and to the answer, of each request's last message. */
  readonly arrivalMs: readonly number[]
  readonly answerMs: readonly number[]
  /** From the answer to the message: above 0 where the answer was first. */
  readonly lateMs: readonly number[]
  readonly lost: number
}

export type HttpLoadMessage =
  | { readonly kind: 'begin' }
  | { readonly kind: 'end' }
  | ({ readonly kind: 'measured' } & HttpMeasurement)
  | { readonly kind: 'failed'; readonly reason: string }

interface Sent {
  readonly at: number
  answeredAt: number
  arrivedAt: number
}

const TOPIC = 'bench'
const PADDING = 'x'.repeat(150)

process.once('disconnect', () => process.exit())
process.once('message', (job: HttpJob) => {
  run(job).catch((error: unknown) => report({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }))
})

async function run(job: HttpJob): Promise<void> {
  const sent: Sent[] = []
  await subscribe(job, (n) => {
    const each = sent[n]
    if (each !== undefined) each.arrivedAt = performance.now()
  })
  let isOver = false
  const loops = Array.from({ length: job.inFlight }, () => publisher(job, sent, () => isOver))
  await delay(job.warmUpMs)
  const from = sent.length
  const startedAt = performance.now()
  report({ kind: 'begin' })
  await delay(job.measureMs)
  const until = sent.length
  const elapsedMs = performance.now() - startedAt
  report({ kind: 'end' })
  isOver = true
  await Promise.all(loops)
  await delay(200)
  const measured = sent.slice(from, until)
  const got = measured.filter(({ arrivedAt }) => arrivedAt > 0)
  report({
    kind: 'measured',
    requests: measured.length,
    elapsedMs,
    arrivalMs: got.map(({ at, arrivedAt }) => arrivedAt - at),
    answerMs: measured.map(({ at, answeredAt }) => answeredAt - at),
    lateMs: got.map(({ answeredAt, arrivedAt }) => arrivedAt - answeredAt),
    lost: measured.length - got.length,
  })
}

function subscribe({ port, apiKey }: HttpJob, arrived: (n: number) => void): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&apikey=${apiKey}`)
  socket.on('open', () => socket.send(JSON.stringify(['1', '1', `realtime:${TOPIC}`, 'phx_join', { config: {} }])))
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('message', (data: Buffer) => {
      const text = data.toString('latin1')
      const n = /"n":(\d+)/.exec(text)?.[1]
      if (n !== undefined) arrived(Number(n))
      else if (text.includes('phx_reply')) resolve()
    })
  })
}

/** One request after the other on one socket. */
function publisher(job: HttpJob, sent: Sent[], isOver: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(job.port, '127.0.0.1')
    socket.setNoDelay(true)
    let current: Sent | null = null
    const next = (): void => {
      if (isOver()) {
        socket.destroy()
        return resolve()
      }
      const n = sent.length
      sent.push((current = { at: performance.now(), answeredAt: 0, arrivedAt: 0 }))
      socket.write(requestOf(job, n))
    }
    socket.on('connect', next)
    socket.on('error', reject)
    socket.on('data', (data) => {
      const text = data.toString('latin1')
      if (!text.startsWith('HTTP/1.1 202')) return reject(new Error(`the server answered ${JSON.stringify(text.slice(0, 300))}`))
      if (current !== null) current.answeredAt = performance.now()
      next()
    })
  })
}

/** Only the last message of a request is numbered. */
function requestOf({ apiKey, route, messagesPerRequest }: HttpJob, n: number): string {
  const payload = (at: number): object => (at === messagesPerRequest - 1 ? { n, padding: PADDING } : { m: n, padding: PADDING })
  const body =
    route === 'single'
      ? JSON.stringify(payload(0))
      : JSON.stringify({
          messages: Array.from({ length: messagesPerRequest }, (_, at) => ({ topic: TOPIC, event: 'e', payload: payload(at) })),
        })
  const path = route === 'single' ? `/api/broadcast/${TOPIC}/events/e` : '/api/broadcast'
  return `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${apiKey}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function report(message: HttpLoadMessage): void {
  process.send?.(message)
}
