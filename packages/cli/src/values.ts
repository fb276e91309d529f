import { misused } from './failure.ts'

/** The least bytes of a secret that signs tokens: shorter ones can be guessed, and `start` refuses them. */
export const MIN_SECRET_BYTES = 16

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, y: 31_536_000 }

/** Seconds of `90s`, `15m`, `1h`, `7d`, `2w`, `1y`; `null` when it is none of these. */
export function parseDuration(text: string): number | null {
  const parts = /^(\d{1,9})(s|m|h|d|w|y)$/.exec(text)
  if (parts === null) return null
  const seconds = Number(parts[1]) * UNIT_SECONDS[parts[2]!]!
  return seconds > 0 ? seconds : null
}

/** Throws a Failure. */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Infinity
  if (port > 65_535) throw misused(`--port must be a whole number from 0 to 65535, not ${JSON.stringify(text)}.`)
  return port
}

/** A whole number above 0. Throws a Failure that names the option. */
export function parseCount(option: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw misused(`${option} must be a whole number above 0, not ${JSON.stringify(text)}.`)
}

/** Milliseconds of a duration. Throws a Failure that names the option. */
export function parseTimeout(option: string, text: string): number {
  const seconds = parseDuration(text)
  if (seconds === null || seconds > 3_600) throw misused(`${option} must be a duration up to 1h, such as 10s, not ${JSON.stringify(text)}.`)
  return seconds * 1_000
}

/** `undefined`: the text is no URL of a Postgres. */
export function postgresUrl(text: string): string | undefined {
  return /^postgres(ql)?:\/\/./.test(text) && URL.canParse(text) ? text : undefined
}

/** For people: `0 B`, `12.3 MB`. */
export function byteText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1)
  return `${step === 0 ? bytes : (bytes / 1024 ** step).toFixed(1)} ${units[step]}`
}

export interface JsonFault {
  readonly line: number
  readonly column: number
  /** The rest of the sentence: `Unexpected token 'x'`. */
  readonly detail: string
}

/** The JSON value, or the position of the fault and its reason. */
export function parseJson(
  text: string,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly fault: JsonFault } {
  try {
    return { ok: true, value: JSON.parse(text) as unknown }
  } catch (error) {
    const before = text.slice(0, faultPosition(text, (error as Error).message)).split('\n')
    // Node quotes the text, which the reader knows and which may be long.
    const detail = (error as Error).message.replace(/(, (\.\.\.)?".*|( in JSON)? at position .*)$/s, '')
    return { ok: false, fault: { line: before.length, column: before.at(-1)!.length + 1, detail } }
  }
}

/** A JSON object from the command line. Throws a Failure with the position of the fault. */
export function parseJsonObject(name: string, text: string): { readonly [key: string]: unknown } {
  const parsed = parseJson(text)
  if (!parsed.ok) {
    const { line, column, detail } = parsed.fault
    throw misused(`${name} is not JSON: ${detail} (line ${line}, column ${column}).`)
  }
  const { value } = parsed
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw misused(`${name} must be a JSON object, such as {"a":1}.`)
  return value as { readonly [key: string]: unknown }
}

/** Node gives the position of some faults only. Of the others it is the end of the shortest prefix with the same fault. */
function faultPosition(text: string, message: string): number {
  const given = /at position (\d+)/.exec(message)
  if (given !== null) return Number(given[1])
  if (!message.startsWith('Unexpected token')) return text.length
  let [without, within] = [0, text.length]
  while (within - without > 1) {
    const middle = (without + within) >> 1
    if (hasUnexpectedToken(text.slice(0, middle))) within = middle
    else without = middle
  }
  return without
}

function hasUnexpectedToken(text: string): boolean {
  try {
    JSON.parse(text)
    return false
  } catch (error) {
    return (error as Error).message.startsWith('Unexpected token')
  }
}
