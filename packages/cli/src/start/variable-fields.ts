import type { TokenVerifierOptions } from '@tidewire/server'
import { z } from 'zod'
import { MIN_SECRET_BYTES, parseJson } from '../values.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export const LOG_LEVELS: Readonly<Record<string, LogLevel>> = {
  ...{ debug: 'debug', info: 'info', warn: 'warn', error: 'error', silent: 'silent' },
  // The names of Elixir, and so of Supabase Realtime.
  ...{ notice: 'info', warning: 'warn', critical: 'error', alert: 'error', emergency: 'error', none: 'silent' },
}

/** HS256 requires it (RFC 7518, 3.2). */
export const ADVISED_SECRET_BYTES: number = 32

const MAX_WORKERS = 64

const flags: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
])

/** A variable with its meaning. `read` returns the value of a text, or `undefined` where it is not `expected`. */
export function field<Value>(
  meaning: string,
  expected: string,
  read: (text: string) => Value | undefined,
): z.ZodOptional<z.ZodType<Value, string>> {
  return z
    .string()
    .transform((text, context): Value => {
      const value = read(text.trim())
      if (value !== undefined) return value
      context.addIssue({ code: 'custom', message: `must be ${expected}` })
      return z.NEVER
    })
    .optional()
    .describe(meaning)
}

export type TextField = z.ZodOptional<z.ZodType<string, string>>

/** A variable that is any text. */
export function plain(meaning: string, expected: string = 'a text'): TextField {
  return field(meaning, expected, (given) => given)
}

/** A variable that is `true` or `false`. */
export function onOff(meaning: string): z.ZodOptional<z.ZodType<boolean, string>> {
  return field(meaning, 'true or false', (given) => flags.get(given))
}

export type NumberField = z.ZodOptional<z.ZodType<number, string>>

/** A variable that is a whole number. */
export function whole(meaning: string, least: number, most: number = Number.MAX_SAFE_INTEGER): NumberField {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  return field(meaning, `a whole number ${range}`, (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN
    return value >= least && value <= most ? value : undefined
  })
}

/** A variable that is a number above 0, or `unlimited`. */
export function limit(meaning: string): NumberField {
  return field(meaning, 'a whole number above 0, or unlimited', (text) => {
    if (text === 'unlimited') return Infinity
    return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined
  })
}

/** `undefined`: neither a number from 1 to 64 nor `auto`. */
export function readWorkers(text: string): number | 'auto' | undefined {
  if (text === 'auto') return 'auto'
  const count = /^\d{1,2}$/.test(text) ? Number(text) : 0
  return count >= 1 && count <= MAX_WORKERS ? count : undefined
}

export function object(text: string): { readonly [key: string]: unknown } | undefined {
  const parsed = parseJson(text)
  const isObject = parsed.ok && typeof parsed.value === 'object' && parsed.value !== null && !Array.isArray(parsed.value)
  return isObject ? (parsed.value as { readonly [key: string]: unknown }) : undefined
}

export function hostName(text: string): string | undefined {
  return /^[\w.:%-]+$/.test(text) ? text : undefined
}

/** A variable that is a secret. */
export function secret(meaning: string): TextField {
  return field(
    meaning,
    `a text of at least ${MIN_SECRET_BYTES} bytes, ${ADVISED_SECRET_BYTES} advised: \`tidewire keys\` makes one`,
    (text) => (Buffer.byteLength(text) >= MIN_SECRET_BYTES ? text : undefined),
  )
}

export type KeySource = Pick<TokenVerifierOptions, 'jwks' | 'jwksUrl'>

export function keySource(text: string): KeySource | undefined {
  if (/^https?:\/\//.test(text)) return URL.canParse(text) ? { jwksUrl: text } : undefined
  const jwks = object(text)
  return Array.isArray(jwks?.['keys']) && jwks['keys'].length > 0 ? { jwks } : undefined
}
