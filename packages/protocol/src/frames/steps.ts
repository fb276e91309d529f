/** Work in steps: it yields after a few milliseconds at most, whatever it is given, so that other work can come between. */

import { jsonValue } from './decode.ts'
import { MAX_NESTING } from './frame-bounds.ts'
import { isPlain, JsonScanner, type JsonScan, type JsonScanOptions } from './json-scan.ts'
import { utf8Text } from '../utf8.ts'

/** Yields between steps, and returns the result. */
export type Steps<T> = Generator<undefined, T, undefined>

/** Takes all steps at once. */
export function allSteps<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

const TEXT_STEP_BYTES = 131_072
/** Most bytes of a scan cost a few nanoseconds, the worst some twenty. */
const SCAN_STEP_BYTES = 131_072

/** Whether bytes are UTF-8, and if so, whether `isPlain` is true of them; `undefined`: they are not. */
export function* utf8Steps(data: Uint8Array): Steps<{ readonly plain: boolean } | undefined> {
  let plain = true
  for (let from = 0; from < data.length;) {
    const to = characterStart(data, from + TEXT_STEP_BYTES)
    const bytes = from === 0 && to === data.length ? data : data.subarray(from, to)
    if (utf8Text(bytes) === undefined) return undefined
    plain &&= isPlain(bytes)
    from = to
    if (from < data.length) yield
  }
  return { plain }
}

/** The start of the character that the byte at `at` is part of. In bytes that are no UTF-8, three bytes before it at most. */
function characterStart(data: Uint8Array, at: number): number {
  if (at >= data.length) return data.length
  let start = at
  while (start > at - 3 && (data[start]! & 0xc0) === 0x80) start--
  return start
}

/** `scanJson` in steps. A long string is one step. */
export function* scanSteps(data: Uint8Array, options: JsonScanOptions): Steps<JsonScan> {
  const scanner = new JsonScanner(data, options)
  for (;;) {
    const scan = scanner.scan(SCAN_STEP_BYTES)
    if (scan !== null) return scan
    yield
  }
}

/** The most bytes that are parsed at once: `JSON.parse` takes a millisecond at most, whatever they hold, and they cannot nest too deep. */
export const QUICK_BYTES: number = 1_024

/** Why JSON is not forwarded. */
export type ForwardFault = 'malformed-json' | 'too-deep'

/** The fault of JSON that is only forwarded; `null`: none. Short texts are parsed; others are scanned in steps, as parsing may take long. */
export function* forwardFault(bytes: Uint8Array): Steps<ForwardFault | null> {
  if (bytes.length <= QUICK_BYTES) return quickFault(bytes)
  const text = yield* utf8Steps(bytes)
  if (text === undefined) return 'malformed-json'
  const scan = yield* scanSteps(bytes, { maxDepth: MAX_NESTING, plain: text.plain })
  return scan.ok ? null : scan.code === 'too-deep' ? 'too-deep' : 'malformed-json'
}

/** As {@link forwardFault}, at once, for at most `QUICK_BYTES`. */
export function quickFault(bytes: Uint8Array): ForwardFault | null {
  return jsonValue(utf8Text(bytes)) === undefined ? 'malformed-json' : null
}
