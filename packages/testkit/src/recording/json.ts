/**
 * JSON as it is compared: values, with numbers kept as they were written, so that 9007199254740993 and
 * 9007199254740992 differ, and 1.0 and 1 too.
 */
export type Json = string | boolean | null | JsonNumber | readonly Json[] | { readonly [key: string]: Json }

export class JsonNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type JsonMap = { readonly [key: string]: Json }

export function isMap(value: Json): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber)
}

export function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

/** The value of a JSON text, or `undefined` when the text is not JSON. */
export function parseJson(text: string): Json | undefined {
  let numbersAsText: string
  try {
    JSON.parse(text)
    // Valid text, so a digit or a minus outside of strings starts a number. Strings get a mark that distinguishes them.
    numbersAsText = text.replaceAll(/"((?:[^"\\]|\\.)*)"|-?\d[\d.eE+-]*/g, (token, string: string | undefined) =>
      string === undefined ? `"#${token}"` : `"'${string}"`,
    )
  } catch {
    return undefined
  }
  return unmark(JSON.parse(numbersAsText))
}

function unmark(value: unknown): Json {
  if (typeof value === 'string') return value.startsWith('#') ? new JsonNumber(value.slice(1)) : value.slice(1)
  if (Array.isArray(value)) return value.map(unmark)
  if (typeof value !== 'object' || value === null) return value as boolean | null
  const map: Record<string, Json> = Object.create(null) as Record<string, Json>
  for (const [key, entry] of Object.entries(value)) map[key.slice(1)] = unmark(entry)
  return map
}

/** One line, keys sorted, cut after `limit` characters. */
export function formatJson(value: Json, limit = 400): string {
  const text = write(value)
  return text.length > limit ? `${text.slice(0, limit)}… (${text.length} characters)` : text
}

function write(value: Json): string {
  if (value instanceof JsonNumber) return value.text
  if (isList(value)) return `[${value.map(write).join(',')}]`
  if (isMap(value))
    return `{${Object.keys(value)
      .toSorted()
      .map((key) => `${JSON.stringify(key)}:${write(value[key]!)}`)
      .join(',')}}`
  return JSON.stringify(value)
}
