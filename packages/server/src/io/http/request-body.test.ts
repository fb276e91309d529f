import { expect, test } from 'vitest'
import { RequestBodies, type RequestBody } from './request-body.ts'

function request(...chunks: number[]): Request {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const size of chunks) controller.enqueue(new Uint8Array(size))
      controller.close()
    },
  })
  return new Request('http://x/', { method: 'POST', body, duplex: 'half' } as RequestInit)
}

function outcome(body: RequestBody): number | string {
  return body.ok ? body.bytes.length : body.code
}

test('bodies are bounded one by one', async () => {
  const bodies = new RequestBodies({ maxBytes: 10 })
  expect(await bodies.use(request(4, 6), outcome)).toBe(10)
  expect(await bodies.use(request(4, 7), outcome)).toBe('body-too-large')
  expect(await bodies.use(new Request('http://x/', { method: 'POST' }), outcome)).toBe(0)
})

test('bodies are bounded together, and count until the work with them is done', async () => {
  const bodies = new RequestBodies({ maxBytes: 10, maxBytesTogether: 15 })
  let finish!: () => void
  const first = new Promise<void>((resolve) => {
    void bodies.use(request(10), async (body) => {
      expect(outcome(body)).toBe(10)
      resolve()
      await new Promise<void>((done) => (finish = done))
    })
  })
  await first
  expect(await bodies.use(request(5), outcome)).toBe(5)
  expect(await bodies.use(request(6), outcome)).toBe('busy')
  finish()
  await new Promise((resolve) => setImmediate(resolve))
  expect(await bodies.use(request(10), outcome)).toBe(10)
})

test('work that fails gives its bytes back', async () => {
  const bodies = new RequestBodies({ maxBytes: 10, maxBytesTogether: 10 })
  await expect(bodies.use(request(10), () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await bodies.use(request(10), outcome)).toBe(10)
})

test('a stream that fails is a body that ended early', async () => {
  const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.error(new Error('gone')) })
  const broken = new Request('http://x/', { method: 'POST', body, duplex: 'half' } as RequestInit)
  expect(await new RequestBodies({ maxBytes: 10 }).use(broken, outcome)).toBe('body-aborted')
})
