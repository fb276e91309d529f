import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { ServerRuntime } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { RequestBodies, type RequestBody, type RequestBodiesOptions } from './request-body.ts'

const KB = 1_024

/** A request whose body comes as the test writes it. */
class Upload {
  readonly #stream = new PassThrough()
  readonly request: IncomingMessage

  constructor(headers: Record<string, string> = {}) {
    this.request = Object.assign(this.#stream, { headers }) as unknown as IncomingMessage
  }

  async send(bytes: number): Promise<void> {
    await new Promise<void>((resolve) => void this.#stream.write(new Uint8Array(bytes), () => resolve()))
    await turn()
  }

  end(...chunks: number[]): this {
    for (const size of chunks) this.#stream.write(new Uint8Array(size))
    this.#stream.end()
    return this
  }

  abort(): void {
    this.#stream.destroy()
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function outcome(body: RequestBody): number | string {
  return body.ok ? body.bytes.length : body.code
}

function open(options: Partial<RequestBodiesOptions>): { readonly bodies: RequestBodies; readonly runtime: ServerRuntime } {
  const runtime = new ServerRuntime()
  return { runtime, bodies: new RequestBodies({ runtime, maxBytes: 1_000 * KB, ...options }) }
}

/** Holds a body of this size until it is let go. */
async function hold(bodies: RequestBodies, key: string, bytes: number): Promise<{ readonly result: number | string; letGo(): void }> {
  return new Promise((resolve) => {
    void bodies.use(new Upload().end(bytes).request, key, (body) => new Promise<void>((letGo) => resolve({ result: outcome(body), letGo })))
  })
}

test('bodies are bounded one by one, by what they say and by what they have', async () => {
  const { bodies } = open({ maxBytes: 10 })
  const read = (upload: Upload): Promise<number | string> => bodies.use(upload.request, 'key', outcome)
  expect(await read(new Upload().end(4, 6))).toBe(10)
  expect(await read(new Upload().end(4, 7))).toBe('body-too-large')
  expect(await read(new Upload({ 'content-length': '11' }))).toBe('body-too-large')
  expect(await read(new Upload().end())).toBe(0)
})

test('bodies are bounded together, and count until the work with them is done', async () => {
  // 400 KB for what bodies have up to 64 KB, 1,200 KB for what they have beyond it; a quarter of each for a key.
  const { bodies } = open({ maxBytesTogether: 1_600 * KB })
  const held = []
  for (const key of ['a', 'b', 'c', 'd']) held.push(await hold(bodies, key, 364 * KB))
  expect(held.map(({ result }) => result)).toEqual(Array(4).fill(364 * KB))
  expect((await hold(bodies, 'e', 65 * KB)).result).toBe('busy')
  expect((await hold(bodies, 'e', 64 * KB)).result).toBe(64 * KB)
  held[0]!.letGo()
  await turn()
  expect((await hold(bodies, 'e', 70 * KB)).result).toBe('busy')
  expect((await hold(bodies, 'f', 300 * KB)).result).toBe(300 * KB)
})

test('the bodies of one key have a share, and keep none of another key out', async () => {
  const { bodies } = open({ maxBytesTogether: 1_600 * KB })
  const first = await hold(bodies, 'anon', 300 * KB)
  expect((await hold(bodies, 'anon', 200 * KB)).result).toBe('busy')
  expect((await hold(bodies, 'service', 300 * KB)).result).toBe(300 * KB)
  // Small ones of the same key go on beside it.
  expect((await hold(bodies, 'anon', 30 * KB)).result).toBe(30 * KB)
  first.letGo()
  await turn()
  expect((await hold(bodies, 'anon', 300 * KB)).result).toBe(300 * KB)
})

test('a body that stands still is cut after three seconds, a slow one too, and its bytes are given back', async () => {
  const { bodies, runtime } = open({ maxBytesTogether: 1_600 * KB, minBytesPerSecond: 1_000 })
  const still = new Upload()
  const slow = new Upload()
  const steady = new Upload()
  const read = [still, slow, steady].map(({ request }) => bodies.use(request, 'key', outcome))
  await still.send(300 * KB)
  for (let second = 0; second < 5; second++) {
    await slow.send(900)
    await steady.send(1_000)
    runtime.advance(1_000)
  }
  steady.end()
  expect(await Promise.all(read)).toEqual(['body-too-slow', 'body-too-slow', 5_000])
  expect((await hold(bodies, 'key', 360 * KB)).result).toBe(360 * KB)
})

test('a body that comes steadily and does not end is cut in the end', async () => {
  const { bodies, runtime } = open({ minBytesPerSecond: 1_000, timeoutMs: 10_000 })
  const endless = new Upload()
  const read = bodies.use(endless.request, 'key', outcome)
  for (let second = 0; second < 10; second++) {
    await endless.send(2_000)
    runtime.advance(1_000)
  }
  expect(await read).toBe('body-too-slow')
  expect(runtime.armedTimers).toBe(0)
})

test('work that fails gives its bytes back', async () => {
  const { bodies } = open({ maxBytesTogether: 400 * KB })
  await expect(bodies.use(new Upload().end(20 * KB).request, 'key', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect((await hold(bodies, 'key', 20 * KB)).result).toBe(20 * KB)
})

test('a connection that goes is a body that ended early', async () => {
  const { bodies } = open({})
  const upload = new Upload()
  const read = bodies.use(upload.request, 'key', outcome)
  await upload.send(10)
  upload.abort()
  expect(await read).toBe('body-aborted')
  expect(await bodies.use(upload.request, 'key', outcome)).toBe('body-aborted')
})
