import type { DecisionCode } from '../../decision-code.ts'
import { readAll } from './read-all.ts'

export type RequestBody =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly status: 400 | 413 | 503; readonly code: DecisionCode; readonly message: string }

export interface RequestBodiesOptions {
  /** The most that one body may have, whatever its Content-Length says. */
  readonly maxBytes: number
  /** The most that all bodies may have together that are being read or worked on. Default 128 MiB. */
  readonly maxBytesTogether?: number | undefined
}

/** Reads bodies within bounds. */
export class RequestBodies {
  readonly #maxBytes: number
  readonly #maxBytesTogether: number
  #held = 0

  constructor({ maxBytes, maxBytesTogether = 128 * 1024 * 1024 }: RequestBodiesOptions) {
    this.#maxBytes = maxBytes
    this.#maxBytesTogether = maxBytesTogether
  }

  /** Reads a body and hands it on; it counts until `work` is done. */
  async use<T>(request: Request, work: (body: RequestBody) => T | Promise<T>): Promise<T> {
    let size = 0
    const admit = (bytes: number): RequestBody | null => {
      if (size + bytes > this.#maxBytes) return tooLarge(this.#maxBytes)
      if (this.#held + bytes > this.#maxBytesTogether) return BUSY
      size += bytes
      this.#held += bytes
      return null
    }
    try {
      return await work(await this.#read(request, admit))
    } finally {
      this.#held -= size
    }
  }

  async #read(request: Request, admit: (bytes: number) => RequestBody | null): Promise<RequestBody> {
    if (request.body === null) return { ok: true, bytes: new Uint8Array() }
    if (Number(request.headers.get('content-length')) > this.#maxBytes) return tooLarge(this.#maxBytes)
    try {
      let refusal: RequestBody | null = null
      const bytes = await readAll(request.body, (chunk) => (refusal = admit(chunk)) === null)
      return bytes === null ? refusal! : { ok: true, bytes }
    } catch {
      return { ok: false, status: 400, code: 'body-aborted', message: 'The body ended early' }
    }
  }
}

const BUSY: RequestBody = { ok: false, status: 503, code: 'busy', message: 'Too many large requests at once, try again later' }

function tooLarge(maxBytes: number): RequestBody {
  return { ok: false, status: 413, code: 'body-too-large', message: `The body is over ${maxBytes} bytes` }
}
