/**
 * Checks JSON text without building it. `JSON.parse` of a frame of a few megabytes takes from 5 ms to a second, depending on what
 * a sender put into it; this takes about the same time for every text of a length.
 */

/** The counts of a text, or why it is refused. */
export type JsonScan =
  /** `values`: all values but the outermost: members of objects and elements of arrays. `length`: those of the outermost. */
  | { readonly ok: true; readonly values: number; readonly length: number }
  | { readonly ok: false; readonly code: 'malformed-json' | 'too-deep' | 'too-many-values' | 'too-many-parts' }

const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const PLUS = 0x2b
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const LOWER_E = 0x65
const LOWER_U = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const MALFORMED: JsonScan = { ok: false, code: 'malformed-json' }
const TOO_MANY: JsonScan = { ok: false, code: 'too-many-values' }
const TOO_DEEP: JsonScan = { ok: false, code: 'too-deep' }
const TOO_MANY_PARTS: JsonScan = { ok: false, code: 'too-many-parts' }

/** Bounds of a scan, and known facts about the text. */
export interface JsonScanOptions {
  readonly maxDepth: number
  readonly maxValues?: number
  /** Members or elements of the outermost value. */
  readonly maxParts?: number
  /** Is given where each part of the outermost value stands: three numbers a part, the start of its key, and start and end of its value. */
  readonly parts?: number[] | null
  /** `isPlain` is true of the bytes. */
  readonly plain?: boolean
}

/**
 * Whether no byte is a backslash or a control character. In JSON a string then ends at the next quote, which is found much faster;
 * white space between values is blanks only.
 */
export function isPlain(data: Uint8Array): boolean {
  return data.indexOf(BACKSLASH) < 0 && !hasControls(data)
}

/** Sixteen bytes at a time, from the first that stands at a multiple of four: single bytes take five times as long. */
function hasControls(data: Uint8Array): boolean {
  const first = -data.byteOffset & 3
  if (data.length < first + 16) return hasControl(data, 0, data.length)
  const words = new Int32Array(data.buffer, data.byteOffset + first, (data.length - first) >> 2)
  let at = 0
  for (; at + 3 < words.length; at += 4)
    if (((below(words[at]!) | below(words[at + 1]!) | below(words[at + 2]!) | below(words[at + 3]!)) & HIGH_BITS) !== 0) return true
  return hasControl(data, 0, first) || hasControl(data, first + at * 4, data.length)
}

function hasControl(data: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (data[at]! < SPACE) return true
  return false
}

/** Has the high bit of some byte set exactly if some byte of the word is below a blank: only those borrow, and no other loses its own bit. */
function below(word: number): number {
  return (word - BLANKS) & ~word
}

const BLANKS = 0x20202020
const HIGH_BITS = 0x80808080

/** Reads a whole text by the grammar of JSON, as `JSON.parse` does. `data` must be valid UTF-8 for that. */
export function scanJson(data: Uint8Array, options: JsonScanOptions): JsonScan {
  return new JsonScanner(data, options).scan(Infinity)!
}

/** As {@link scanJson}, in parts. */
export class JsonScanner {
  readonly #data: Uint8Array
  readonly #options: JsonScanOptions
  /** The closing brackets of the containers around the innermost one; `close` is that of the innermost, 0 outside of all. */
  readonly #around: number[] = []
  #close = 0
  #values = -1
  #length = 0
  #at: number

  constructor(data: Uint8Array, options: JsonScanOptions) {
    this.#data = data
    this.#options = options
    this.#at = skipSpace(data, 0)
  }

  /** Reads about `bytes` more, but a string or number to its end; `null`: the text goes on. */
  scan(bytes: number): JsonScan | null {
    const data = this.#data
    const { maxDepth, maxValues = Infinity, maxParts = Infinity, plain = false, parts = null } = this.#options
    const around = this.#around
    let close = this.#close
    let values = this.#values
    let length = this.#length
    let at = this.#at
    const until = at + bytes
    for (;;) {
      if (at >= until) {
        this.#close = close
        this.#values = values
        this.#length = length
        this.#at = at
        return null
      }
      if (++values > maxValues) return TOO_MANY
      const first = data[at]!
      if (first === OPEN_OBJECT || first === OPEN_ARRAY) {
        if (around.length === maxDepth) return TOO_DEEP
        at = skipSpace(data, at + 1)
        if (data[at] === first + 2) at++
        else {
          around.push(close)
          close = first + 2
          const key = at
          if (close === CLOSE_OBJECT && (at = keyEnd(data, at, plain)) < 0) return MALFORMED
          if (around.length === 1) {
            length = 1
            parts?.push(key, at)
          }
          continue
        }
      } else if ((at = scalarEnd(data, at, first, plain)) < 0) return MALFORMED
      for (;;) {
        const end = at
        let next = data[at]!
        if (next <= SPACE) next = data[(at = skipSpace(data, at))]!
        if (close === 0) return at === data.length ? { ok: true, values, length } : MALFORMED
        if (next === COMMA) {
          at++
          if (data[at]! <= SPACE) at = skipSpace(data, at)
          const key = at
          if (close === CLOSE_OBJECT && (at = keyEnd(data, at, plain)) < 0) return MALFORMED
          if (around.length === 1) {
            if (++length > maxParts) return TOO_MANY_PARTS
            parts?.push(end, key, at)
          }
          break
        }
        if (next !== close) return MALFORMED
        if (around.length === 1) parts?.push(end)
        close = around.pop()!
        at++
      }
    }
  }
}

/** Where the value behind the key at `at` begins; -1: malformed. */
function keyEnd(data: Uint8Array, at: number, plain: boolean): number {
  if (data[at] !== QUOTE) return -1
  const end = stringEnd(data, at, plain)
  if (end < 0) return -1
  const colon = skipSpace(data, end)
  return data[colon] === COLON ? skipSpace(data, colon + 1) : -1
}

function scalarEnd(data: Uint8Array, at: number, first: number, plain: boolean): number {
  switch (first) {
    case QUOTE:
      return stringEnd(data, at, plain)
    case 0x74:
      return literalEnd(data, at, 'true')
    case 0x66:
      return literalEnd(data, at, 'false')
    case 0x6e:
      return literalEnd(data, at, 'null')
    default:
      return numberEnd(data, at)
  }
}

function literalEnd(data: Uint8Array, at: number, literal: string): number {
  for (let index = 0; index < literal.length; index++) if (data[at + index] !== literal.charCodeAt(index)) return -1
  return at + literal.length
}

/** A search from here on pays only for a string that is longer than this. */
const SHORT_STRING = 64

function stringEnd(data: Uint8Array, from: number, plain: boolean): number {
  let at = from + 1
  if (plain) {
    for (const long = at + SHORT_STRING; at < long; at++) if (data[at] === QUOTE) return at + 1
    return data.indexOf(QUOTE, at) + 1 || -1
  }
  for (;;) {
    while (IN_STRING[data[at]!] === 1) at++
    if (data[at] !== BACKSLASH) return data[at] === QUOTE ? at + 1 : -1
    const escaped = data[at + 1]!
    at += 2
    if (IN_ESCAPE[escaped] === 1) continue
    if (escaped !== LOWER_U) return -1
    for (const end = at + 4; at < end; at++) if (!isHex(data[at])) return -1
  }
}

/** Bytes that stand for themselves in a string, and those that may follow a backslash, `u` left out. */
const IN_STRING: Uint8Array = /* @__PURE__ */ tableOf((byte) => byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH)
const IN_ESCAPE: Uint8Array = /* @__PURE__ */ tableOf((byte) => String.raw`"\/bfnrt`.includes(String.fromCharCode(byte)))

function tableOf(has: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => Number(has(byte)))
}

function isHex(byte: number | undefined): boolean {
  return isDigit(byte) || (byte !== undefined && ((byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)))
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE
}

function numberEnd(data: Uint8Array, from: number): number {
  let at = data[from] === MINUS ? from + 1 : from
  const first = data[at]!
  if (!(first >= ZERO && first <= NINE)) return -1
  at++
  if (first !== ZERO) at = digitsEnd(data, at)
  // Mostly what follows is neither.
  const next = data[at]!
  if (next === COMMA) return at
  if (next === POINT) {
    if (!isDigit(data[++at])) return -1
    at = digitsEnd(data, at)
  }
  if ((data[at]! | 0x20) === LOWER_E) {
    at++
    if (data[at] === PLUS || data[at] === MINUS) at++
    if (!isDigit(data[at])) return -1
    at = digitsEnd(data, at)
  }
  return at
}

function digitsEnd(data: Uint8Array, from: number): number {
  let at = from
  while (data[at]! >= ZERO && data[at]! <= NINE) at++
  return at
}

function skipSpace(data: Uint8Array, from: number): number {
  let at = from
  while (data[at] === 0x20 || data[at] === 0x0a || data[at] === 0x0d || data[at] === 0x09) at++
  return at
}
