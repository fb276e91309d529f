import type { IncomingMessage } from 'node:http'
import type { DecisionCode } from '../../decision-code.ts'
import type { Runtime } from '../../ports.ts'

export type RequestBody =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly status: 400 | 408 | 413 | 503; readonly code: DecisionCode; readonly message: string }

export interface RequestBodiesOptions {
  readonly runtime: Pick<Runtime, 'setTimer'>
  /** Bytes of one body, whatever its Content-Length says. */
  readonly maxBytes: number
  /** Bytes of all bodies that are being read or worked on. Default 128 MiB. */
  readonly maxBytesTogether?: number | undefined
  /** How long a body may take to come. Default 20 000. */
  readonly timeoutMs?: number | undefined
  /** Slower bodies are cut, judged over three seconds. Default 8 192. */
  readonly minBytesPerSecond?: number | undefined
}

/** The first bytes of a body count on a budget of their own, so that large bodies never keep a small one out. */
const SMALL_BYTES = 64 * 1024
const SMALL_SHARE = 1 / 4
/** The share of each budget that bodies of one key may take. */
const KEY_SHARE = 1 / 4

const SWEEP_MS = 1_000
const RATE_SWEEPS = 3

interface Reading {
  sweeps: number
  bytes: number
  /** The bytes that had come at each of the last sweeps. */
  readonly bytesBefore: number[]
  end(body: RequestBody): void
}

/** Reads bodies within bounds: bytes of one body, of all, and of one key; total time, and least speed. */
export class RequestBodies {
  readonly #options: { readonly [Name in keyof RequestBodiesOptions]-?: NonNullable<RequestBodiesOptions[Name]> }
  readonly #small: Budget
  readonly #large: Budget
  readonly #reading = new Set<Reading>()
  #isSweeping = false

  constructor(options: RequestBodiesOptions) {
    const { maxBytesTogether = 128 * 1024 * 1024, timeoutMs = 20_000, minBytesPerSecond = 8_192 } = options
    this.#options = { ...options, maxBytesTogether, timeoutMs, minBytesPerSecond }
    this.#small = new Budget(maxBytesTogether * SMALL_SHARE)
    this.#large = new Budget(maxBytesTogether * (1 - SMALL_SHARE))
  }

  /** Reads a body and calls `work` with it. The body counts until `work` is done. */
  async use<T>(request: IncomingMessage, key: string, work: (body: RequestBody) => T | Promise<T>): Promise<T> {
    const held = { bytes: 0 }
    try {
      return await work(await this.#read(request, key, held))
    } finally {
      this.#small.release(key, Math.min(held.bytes, SMALL_BYTES))
      this.#large.release(key, Math.max(0, held.bytes - SMALL_BYTES))
    }
  }

  #read(request: IncomingMessage, key: string, held: { bytes: number }): Promise<RequestBody> {
    const { maxBytes } = this.#options
    if (Number(request.headers['content-length']) > maxBytes) return Promise.resolve(tooLarge(maxBytes))
    return new Promise((resolve) => {
      const chunks: Buffer[] = []
      const reading: Reading = {
        sweeps: 0,
        bytes: 0,
        bytesBefore: [],
        end: (body) => {
          if (!this.#reading.delete(reading)) return
          request.off('data', onData).off('end', onEnd).off('close', onClose)
          resolve(body)
        },
      }
      const onData = (chunk: Buffer): void => {
        reading.bytes += chunk.length
        const refusal = reading.bytes > maxBytes ? tooLarge(maxBytes) : this.#take(key, held, chunk.length)
        if (refusal !== null) return reading.end(refusal)
        chunks.push(chunk)
      }
      const onEnd = (): void => reading.end({ ok: true, bytes: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks) })
      const onClose = (): void => reading.end(ABORTED)
      this.#reading.add(reading)
      this.#sweepLater()
      // Without a listener a reset would end the process.
      request.on('error', () => {})
      request.on('data', onData).once('end', onEnd).once('close', onClose)
      if (request.destroyed) reading.end(ABORTED)
    })
  }

  #take(key: string, held: { bytes: number }, bytes: number): RequestBody | null {
    const small = Math.max(0, Math.min(bytes, SMALL_BYTES - held.bytes))
    if (small > 0 && !this.#small.take(key, small)) return BUSY
    if (bytes > small && !this.#large.take(key, bytes - small)) {
      this.#small.release(key, small)
      return BUSY
    }
    held.bytes += bytes
    return null
  }

  #sweepLater(): void {
    if (this.#isSweeping) return
    this.#isSweeping = true
    this.#options.runtime.setTimer(() => {
      this.#isSweeping = false
      for (const reading of this.#reading) this.#judge(reading)
      if (this.#reading.size > 0) this.#sweepLater()
    }, SWEEP_MS)
  }

  #judge(reading: Reading): void {
    const { timeoutMs, minBytesPerSecond } = this.#options
    const before = reading.bytesBefore.length < RATE_SWEEPS ? 0 : reading.bytesBefore.shift()!
    reading.bytesBefore.push(reading.bytes)
    reading.sweeps++
    const isSlow = reading.sweeps >= RATE_SWEEPS && reading.bytes - before < (minBytesPerSecond * RATE_SWEEPS * SWEEP_MS) / 1_000
    if (isSlow || reading.sweeps * SWEEP_MS >= timeoutMs) reading.end(TOO_SLOW)
  }
}

/** Counts bytes in all, and of each key. */
class Budget {
  readonly #max: number
  readonly #maxOfKey: number
  readonly #ofKey = new Map<string, number>()
  #all = 0

  constructor(max: number) {
    this.#max = max
    this.#maxOfKey = max * KEY_SHARE
  }

  take(key: string, bytes: number): boolean {
    const ofKey = (this.#ofKey.get(key) ?? 0) + bytes
    if (this.#all + bytes > this.#max || ofKey > this.#maxOfKey) return false
    this.#all += bytes
    this.#ofKey.set(key, ofKey)
    return true
  }

  release(key: string, bytes: number): void {
    if (bytes === 0) return
    this.#all -= bytes
    const ofKey = this.#ofKey.get(key)! - bytes
    if (ofKey === 0) this.#ofKey.delete(key)
    else this.#ofKey.set(key, ofKey)
  }
}

const BUSY: RequestBody = { ok: false, status: 503, code: 'busy', message: 'Too many large requests at once, try again later' }
const ABORTED: RequestBody = { ok: false, status: 400, code: 'body-aborted', message: 'The body ended early' }
const TOO_SLOW: RequestBody = { ok: false, status: 408, code: 'body-too-slow', message: 'The body came too slowly' }

function tooLarge(maxBytes: number): RequestBody {
  return { ok: false, status: 413, code: 'body-too-large', message: `The body is over ${maxBytes} bytes` }
}
