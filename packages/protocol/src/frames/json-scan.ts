/**
 * Checks JSON text without building it. `JSON.parse` of a frame of a few megabytes takes from 5 ms to a second, depending on what
 * a sender put into it; this takes about the same time for every text of a length.
 */

import { jsonValue } from './decode.ts'
import { MAX_NESTING } from './frame-bounds.ts'
import { utf8Text } from '../utf8.ts'

/** What a text holds, or why it is refused. */
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

/** Bounds of a scan, and what is known of the text. */
export interface JsonScanOptions {
  readonly maxDepth: number
  readonly maxValues?: number
  /** Members or elements of the outermost value. */
  readonly maxParts?: number
  /** Is given where each part of the outermost value stands: three numbers a part, the start of its key, and start and end of its value. */
  readonly parts?: number[] | null
  /** `isPlainText` is true of the text. */
  readonly isPlain?: boolean
}

/** Whether nothing in a text is escaped and nothing would have to be: then a string ends at the next quote, which is found much faster. */
export function isPlainText(text: string): boolean {
  return !ESCAPED_OR_CONTROL.test(text)
}

// oxlint-disable-next-line no-control-regex -- these are what JSON forbids in a string
const ESCAPED_OR_CONTROL = /[\0-\x1f\\]/

/** Reads a whole text by the grammar of JSON, as `JSON.parse` does. `data` must be valid UTF-8 for that. */
export function scanJson(data: Uint8Array, options: JsonScanOptions): JsonScan {
  const { maxDepth, maxValues = Infinity, maxParts = Infinity, isPlain = false, parts = null } = options
  /** The closing brackets of the containers around the innermost one; `close` is that of the innermost, 0 outside of all. */
  const around: number[] = []
  let close = 0
  let values = -1
  let length = 0
  let at = skipSpace(data, 0)
  for (;;) {
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
        if (close === CLOSE_OBJECT && (at = keyEnd(data, at, isPlain)) < 0) return MALFORMED
        if (around.length === 1) {
          length = 1
          parts?.push(key, at)
        }
        continue
      }
    } else if ((at = scalarEnd(data, at, first, isPlain)) < 0) return MALFORMED
    for (;;) {
      const end = at
      let next = data[at]!
      if (next <= SPACE) next = data[(at = skipSpace(data, at))]!
      if (close === 0) return at === data.length ? { ok: true, values, length } : MALFORMED
      if (next === COMMA) {
        at++
        if (data[at]! <= SPACE) at = skipSpace(data, at)
        const key = at
        if (close === CLOSE_OBJECT && (at = keyEnd(data, at, isPlain)) < 0) return MALFORMED
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

/** What is wrong with JSON that is only forwarded, `null`: nothing. It is parsed only where that is quick whatever it holds. */
export function forwardFault(bytes: Uint8Array): 'malformed-json' | 'too-deep' | null {
  const text = utf8Text(bytes)
  if (text === undefined) return 'malformed-json'
  if (bytes.length <= MAX_NESTING * 2) return jsonValue(text) === undefined ? 'malformed-json' : null
  const scan = scanJson(bytes, { maxDepth: MAX_NESTING, isPlain: isPlainText(text) })
  return scan.ok ? null : scan.code === 'too-deep' ? 'too-deep' : 'malformed-json'
}

/** Where the value behind the key at `at` begins; -1: malformed. */
function keyEnd(data: Uint8Array, at: number, isPlain: boolean): number {
  if (data[at] !== QUOTE) return -1
  const end = stringEnd(data, at, isPlain)
  if (end < 0) return -1
  const colon = skipSpace(data, end)
  return data[colon] === COLON ? skipSpace(data, colon + 1) : -1
}

function scalarEnd(data: Uint8Array, at: number, first: number, isPlain: boolean): number {
  switch (first) {
    case QUOTE:
      return stringEnd(data, at, isPlain)
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

function stringEnd(data: Uint8Array, from: number, isPlain: boolean): number {
  for (let at = from + 1; at < data.length; at++) {
    if (isPlain && at - from > SHORT_STRING) return data.indexOf(QUOTE, at) + 1 || -1
    const byte = data[at]!
    if (byte === QUOTE) return at + 1
    if (byte < 0x20) return -1
    if (byte === BACKSLASH) {
      const escaped = data[++at]
      if (escaped === LOWER_U) {
        for (let digits = 0; digits < 4; digits++) if (!isHex(data[++at])) return -1
      } else if (!isEscape(escaped)) return -1
    }
  }
  return -1
}

/** One of `" \ / b f n r t`. */
function isEscape(byte: number | undefined): boolean {
  return (
    byte === QUOTE ||
    byte === BACKSLASH ||
    byte === 0x2f ||
    byte === 0x62 ||
    byte === 0x66 ||
    byte === 0x6e ||
    byte === 0x72 ||
    byte === 0x74
  )
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
