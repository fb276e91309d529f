/**
 * Finding parts in the bytes of JSON text, so that a payload is forwarded as it was written: its numbers keep their
 * digits, its keys their order. Every function takes text that `JSON.parse` has accepted.
 */

const TAB = 0x09
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const SLASH = 0x2f
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const LOWER_U = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** The bytes of the element at `index` in an array of `length` elements. */
export function elementBytes(data: Uint8Array, index: number, length: number): Uint8Array {
  let from = skipSpace(data, skipSpace(data, 0) + 1)
  for (let skipped = 0; skipped < index; skipped++) from = skipSpace(data, skipSpace(data, valueEnd(data, from)) + 1)
  // The last element is bounded from behind, so that a long payload is not walked through.
  const to = index === length - 1 ? trimSpaceBefore(data, trimSpaceBefore(data, data.length) - 1) : valueEnd(data, from)
  return data.subarray(from, to)
}

/** The bytes of every element of an array, in order. */
export function allElementBytes(data: Uint8Array): readonly Uint8Array[] {
  const elements: Uint8Array[] = []
  let at = skipSpace(data, skipSpace(data, 0) + 1)
  while (at < data.length && data[at] !== CLOSE_ARRAY) {
    const to = valueEnd(data, at)
    elements.push(data.subarray(at, to))
    at = skipSpace(data, skipSpace(data, to) + 1)
  }
  return elements
}

/** The bytes of the value under `key` in an object; as in JSON.parse the last of several counts. `key` is ASCII. */
export function memberBytes(data: Uint8Array, key: string): Uint8Array | undefined {
  let found: Uint8Array | undefined
  let at = skipSpace(data, skipSpace(data, 0) + 1)
  while (data[at] === QUOTE) {
    const keyEnd = stringEnd(data, at)
    const from = skipSpace(data, skipSpace(data, keyEnd) + 1)
    const to = valueEnd(data, from)
    if (isKey(data, at, keyEnd, key)) found = data.subarray(from, to)
    at = skipSpace(data, skipSpace(data, to) + 1)
  }
  return found
}

/** The bytes of the values under several keys of an object, found in one pass. Keys are ASCII. */
export function membersBytes(data: Uint8Array, keys: readonly string[]): readonly (Uint8Array | undefined)[] {
  const parts: number[] = []
  let at = skipSpace(data, skipSpace(data, 0) + 1)
  while (data[at] === QUOTE) {
    const from = skipSpace(data, skipSpace(data, stringEnd(data, at)) + 1)
    const to = valueEnd(data, from)
    parts.push(at, from, to)
    at = skipSpace(data, skipSpace(data, to) + 1)
  }
  return partsUnder(data, parts, keys)
}

/** As {@link membersBytes}, from known positions of the members: three numbers each, as `scanJson` gives them. */
export function partsUnder(data: Uint8Array, parts: readonly number[], keys: readonly string[]): readonly (Uint8Array | undefined)[] {
  const found: (Uint8Array | undefined)[] = keys.map(() => undefined)
  for (let part = 0; part < parts.length; part += 3) {
    const at = parts[part]!
    const first = data[at + 1] === BACKSLASH ? escapedCode(data, at + 2) : data[at + 1]
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index]!
      if (key.charCodeAt(0) === first && isKey(data, at, stringEnd(data, at), key))
        found[index] = data.subarray(parts[part + 1], parts[part + 2])
    }
  }
  return found
}

/** Whether the string between `from` and `to`, quotes included, says `key`, which is ASCII. */
function isKey(data: Uint8Array, from: number, to: number, key: string): boolean {
  let at = from + 1
  for (let index = 0; index < key.length; index++) {
    if (at >= to - 1) return false
    let code = data[at++]!
    if (code === BACKSLASH) {
      code = escapedCode(data, at)
      at += data[at] === LOWER_U ? 5 : 1
    }
    if (code !== key.charCodeAt(index)) return false
  }
  return at === to - 1
}

/** The character that an escape stands for, as far as a key of ASCII letters may hold it. `at`: behind the backslash. */
function escapedCode(data: Uint8Array, at: number): number {
  const letter = data[at]
  if (letter !== LOWER_U) return letter === QUOTE || letter === BACKSLASH || letter === SLASH ? letter : -1
  let code = 0
  for (let digit = 1; digit <= 4; digit++) {
    const byte = data[at + digit] ?? 0
    code = code * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57)
  }
  return code
}

/** Where the value that starts at `from` ends. */
function valueEnd(data: Uint8Array, from: number): number {
  const first = data[from]
  if (first === QUOTE) return stringEnd(data, from)
  return first === OPEN_ARRAY || first === OPEN_OBJECT ? containerEnd(data, from) : scalarEnd(data, from)
}

function containerEnd(data: Uint8Array, from: number): number {
  let depth = 0
  for (let at = from; at < data.length; at++) {
    const byte = data[at]
    if (byte === QUOTE) at = stringEnd(data, at) - 1
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) depth++
    else if ((byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) && --depth === 0) return at + 1
  }
  return data.length
}

/** A search from here on pays only for a string that is longer than this. */
const SHORT_STRING = 64

/** Where the string whose opening quote stands at `from` ends, its closing quote included. */
function stringEnd(data: Uint8Array, from: number): number {
  let at = from + 1
  for (;;) {
    for (const long = at + SHORT_STRING; at < long; at++) {
      const byte = data[at]
      if (byte === QUOTE) return at + 1
      if (byte === BACKSLASH) at++
    }
    const quote = data.indexOf(QUOTE, at)
    if (quote < 0) return data.length
    if (!isEscaped(data, quote, at)) return quote + 1
    at = quote + 1
  }
}

/** Whether an odd number of backslashes stands before it. `from` is not escaped. */
function isEscaped(data: Uint8Array, at: number, from: number): boolean {
  let first = at
  while (first > from && data[first - 1] === BACKSLASH) first--
  return (at - first) % 2 === 1
}

function scalarEnd(data: Uint8Array, from: number): number {
  let at = from
  while (at < data.length && !endsScalar(data[at]!)) at++
  return at
}

function endsScalar(byte: number): boolean {
  return byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT || isSpace(byte)
}

function skipSpace(data: Uint8Array, from: number): number {
  let at = from
  while (at < data.length && isSpace(data[at]!)) at++
  return at
}

function trimSpaceBefore(data: Uint8Array, end: number): number {
  let at = end
  while (at > 0 && isSpace(data[at - 1]!)) at--
  return at
}

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB
}
