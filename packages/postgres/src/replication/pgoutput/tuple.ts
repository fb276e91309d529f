import type { Slabs } from './slabs.ts'

const NULL = 0x6e // n
const UNCHANGED = 0x75 // u
const TEXT = 0x74 // t

/**
 * A row as it came over the wire. Nothing is copied or decoded before it is asked for; the buffer is shared with other
 * rows of the same read, so a tuple that is kept for long has to be a `detach()`ed one.
 */
export class Tuple {
  readonly length: number
  readonly #buffer: Buffer
  readonly #start: number
  readonly #end: number
  /** A tuple of the replica identity's columns alone; nulls stand for the others, since these columns are NOT NULL. */
  readonly #keyOnly: boolean
  #offsets: Uint32Array | null = null
  /** Texts that were decoded before: a row is matched, compared and written by them. */
  #texts: (string | undefined)[] | null = null

  /** `start` is the first cell; the cells up to `end` must have been checked (`tupleEnd`). */
  constructor(buffer: Buffer, start: number, end: number, length: number, { keyOnly = false }: { readonly keyOnly?: boolean } = {}) {
    this.#buffer = buffer
    this.#start = start
    this.#end = end
    this.length = length
    this.#keyOnly = keyOnly
  }

  /** A row of these texts; `undefined`: not known, as an unchanged value that was not sent. */
  static of(texts: readonly (string | null | undefined)[]): Tuple {
    const cells = texts.map((text) => {
      if (typeof text !== 'string') return Buffer.from([text === null ? NULL : UNCHANGED])
      const bytes = Buffer.from(text)
      const head = Buffer.from([TEXT, 0, 0, 0, 0])
      head.writeUInt32BE(bytes.length, 1)
      return Buffer.concat([head, bytes])
    })
    const buffer = Buffer.concat(cells)
    return new Tuple(buffer, 0, buffer.length, texts.length)
  }

  get byteLength(): number {
    return this.#end - this.#start
  }

  /** The column's text as Postgres writes it; `null` for SQL null, `undefined` for a value that was not sent. */
  text(column: number): string | null | undefined {
    const known = this.#texts?.[column]
    if (known !== undefined) return known
    const offset = this.#offset(column)
    const kind = this.#buffer[offset]
    if (kind !== TEXT) return kind === NULL && !this.#keyOnly ? null : undefined
    const text = this.#buffer.toString('utf8', offset + 5, offset + 5 + this.#buffer.readUInt32BE(offset + 1))
    this.#texts ??= Array.from({ length: this.length }, () => undefined)
    this.#texts[column] = text
    return text
  }

  /** The bytes of the column's text, without a copy; `null` where there is none. */
  bytes(column: number): Buffer | null {
    const offset = this.#offset(column)
    if (this.#buffer[offset] !== TEXT) return null
    return this.#buffer.subarray(offset + 5, offset + 5 + this.#buffer.readUInt32BE(offset + 1))
  }

  /** A copy that does not share the memory of what was read along with it. */
  detach(memory: Slabs): Tuple {
    const { slab, start } = memory.take(this.byteLength)
    this.#buffer.copy(slab, start, this.#start, this.#end)
    return new Tuple(slab, start, start + this.byteLength, this.length, { keyOnly: this.#keyOnly })
  }

  /** The same row without a copy of its bytes. What reading finds out is kept in the view, and goes with it. */
  view(): Tuple {
    return new Tuple(this.#buffer, this.#start, this.#end, this.length, { keyOnly: this.#keyOnly })
  }

  #offset(column: number): number {
    if (!(column >= 0 && column < this.length)) throw new RangeError(`the tuple has ${this.length} columns, there is none at ${column}`)
    this.#offsets ??= this.#locate()
    return this.#offsets[column]!
  }

  #locate(): Uint32Array {
    const offsets = new Uint32Array(this.length)
    let at = this.#start
    for (let column = 0; column < this.length; column++) {
      offsets[column] = at
      at += this.#buffer[at] === TEXT ? 5 + this.#buffer.readUInt32BE(at + 1) : 1
    }
    return offsets
  }
}

/** Checks `count` cells from `start`. The offset after the last one, or -1 when the bytes are no tuple. */
export function tupleEnd(buffer: Buffer, start: number, end: number, count: number): number {
  let at = start
  for (let column = 0; column < count; column++) {
    if (at >= end) return -1
    const kind = buffer[at]
    if (kind === TEXT) {
      if (end - at < 5) return -1
      at += 5 + buffer.readUInt32BE(at + 1)
      if (at > end) return -1
    } else if (kind === NULL || kind === UNCHANGED) at += 1
    else return -1
  }
  return at
}
