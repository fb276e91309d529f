import { formatJson, isList, isMap, JsonNumber, type Json, type JsonMap } from './json.ts'

/** What a value is that the server makes up, or null for one that must be equal. */
export type MadeUp = 'uuid' | 'phx-ref' | 'change-id' | 'timestamp' | (string & {}) | null

export type Path = readonly (string | number)[]

/** Decides for a recorded value (or, with `key`, for an object's key) whether the server made it up. */
export type Classify = (path: Path, value: Json, key: boolean) => MadeUp

/** Where two values part. */
export interface Mismatch {
  readonly path: Path
  readonly detail: string
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/**
 * The rules for what servers make up: references of presence, ids of change subscriptions, commit times, and every UUID
 * that no client has said.
 */
export function madeUpByServer(saidByClients: string): Classify {
  return (path, value, key) => {
    const last = path.at(-1)
    if (!key && (last === 'phx_ref' || last === 'phx_ref_prev')) return 'phx-ref'
    if (!key && last === 'commit_timestamp' && typeof value === 'string') return 'timestamp'
    if (value instanceof JsonNumber) {
      if (last === 'id' && path.at(-3) === 'postgres_changes' && path.at(-4) === 'response') return 'change-id'
      return typeof last === 'number' && path.at(-2) === 'ids' ? 'change-id' : null
    }
    return typeof value === 'string' && UUID.test(value) && !saidByClients.includes(value) ? 'uuid' : null
  }
}

/**
 * Compares what was recorded with what came. Values that servers make up may have other names, but one name stands for
 * one name throughout a recording, in both directions: equal stays equal, different stays different.
 */
export class Renaming {
  readonly #classify: Classify
  readonly #toActual = new Map<string, string>()
  readonly #toRecorded = new Map<string, string>()
  /** Names bound since the comparison began, to be undone when it fails. */
  #tentative: [recorded: string, actual: string][] = []

  constructor(classify: Classify) {
    this.#classify = classify
  }

  /** Null when they are the same; then, and only then, the names they show hold from now on. */
  compare(recorded: Json, actual: Json): Mismatch | null {
    this.#tentative = []
    const mismatch = this.#values([], recorded, actual)
    if (mismatch !== null) this.#undo(0)
    return mismatch
  }

  #values(path: Path, recorded: Json, actual: Json): Mismatch | null {
    const kind = this.#classify(path, recorded, false)
    if (kind !== null) return this.#madeUp(kind, path, recorded, actual)
    if (isList(recorded)) return isList(actual) ? this.#lists(path, recorded, actual) : differ(path, recorded, actual)
    if (isMap(recorded)) return isMap(actual) ? this.#maps(path, recorded, actual) : differ(path, recorded, actual)
    if (recorded instanceof JsonNumber)
      return actual instanceof JsonNumber && actual.text === recorded.text ? null : differ(path, recorded, actual)
    if (typeof recorded === 'string' && typeof actual === 'string')
      return withoutAges(recorded) === withoutAges(actual) ? null : differ(path, recorded, actual)
    return recorded === actual ? null : differ(path, recorded, actual)
  }

  #madeUp(kind: string, path: Path, recorded: Json, actual: Json): Mismatch | null {
    const [was, is] = [scalarText(recorded), scalarText(actual)]
    if (is === null || typeof recorded !== typeof actual) return differ(path, recorded, actual, `the server's own ${kind}`)
    if (kind === 'uuid' && !UUID.test(is)) return differ(path, recorded, actual, 'a UUID')
    // Two commits may share an instant, so times are not names.
    if (kind === 'timestamp') return ISO_TIME.test(is) ? null : differ(path, recorded, actual, 'a time')
    return this.#bind(kind, was ?? '', is) ? null : { path, detail: this.#clash(kind, was ?? '', is) }
  }

  #lists(path: Path, recorded: readonly Json[], arrived: readonly Json[]): Mismatch | null {
    const actual = this.#isSet(path, recorded) ? this.#inOrderOf(recorded, arrived) : arrived
    for (const [index, value] of recorded.entries()) {
      const other = actual[index]
      if (other === undefined) return { path: [...path, index], detail: `missing: ${formatJson(value, 120)}` }
      const mismatch = this.#values([...path, index], value, other)
      if (mismatch !== null) return mismatch
    }
    return actual.length > recorded.length
      ? { path: [...path, recorded.length], detail: `not expected: ${formatJson(actual[recorded.length]!, 120)}` }
      : null
  }

  /** The ids of the subscriptions that a change matched are in no promised order. */
  #isSet(path: Path, recorded: readonly Json[]): boolean {
    return path.at(-1) === 'ids' && recorded.every((id, index) => this.#classify([...path, index], id, false) === 'change-id')
  }

  #inOrderOf(recorded: readonly Json[], actual: readonly Json[]): readonly Json[] {
    const names = recorded.map((id) => this.#toActual.get(`change-id ${scalarText(id)}`))
    const place = (id: Json): number => {
      const at = names.indexOf(`change-id ${scalarText(id)}`)
      return at < 0 ? names.length : at
    }
    return actual.toSorted((a, b) => place(a) - place(b))
  }

  #maps(path: Path, recorded: JsonMap, actual: JsonMap): Mismatch | null {
    const named: [string, string][] = []
    for (const key of Object.keys(recorded)) {
      const kind = this.#classify(path, key, true)
      if (kind !== null) {
        named.push([key, kind])
        continue
      }
      if (!Object.hasOwn(actual, key)) return { path: [...path, key], detail: `missing: ${formatJson(recorded[key]!, 120)}` }
      const mismatch = this.#values([...path, key], recorded[key]!, actual[key]!)
      if (mismatch !== null) return mismatch
    }
    const others = Object.keys(actual).filter((key) => !Object.hasOwn(recorded, key) || named.some(([name]) => name === key))
    if (others.length > named.length) {
      const extra = others.find((key) => !UUID.test(key)) ?? others[0]!
      return { path: [...path, extra], detail: `not expected: ${formatJson(actual[extra]!, 120)}` }
    }
    return this.#namedKeys(path, recorded, actual, named, others)
  }

  /** Keys that the server made up, each with a key of its own on the other side: tried until all fit. */
  #namedKeys(
    path: Path,
    recorded: JsonMap,
    actual: JsonMap,
    named: readonly [string, string][],
    others: readonly string[],
  ): Mismatch | null {
    const [first, ...rest] = named
    if (first === undefined) return null
    const [key, kind] = first
    let closest: Mismatch = { path: [...path, key], detail: `no key fits: ${formatJson(recorded[key]!, 120)}` }
    for (const other of others) {
      const mark = this.#tentative.length
      if (this.#bind(kind, key, other)) {
        const mismatch =
          this.#values([...path, key], recorded[key]!, actual[other]!) ??
          this.#namedKeys(
            path,
            recorded,
            actual,
            rest,
            others.filter((name) => name !== other),
          )
        if (mismatch === null) return null
        closest = mismatch
      } else if (others.length === 1) closest = { path: [...path, key], detail: this.#clash(kind, key, other) }
      this.#undo(mark)
    }
    return closest
  }

  #bind(kind: string, recorded: string, actual: string): boolean {
    const [was, is] = [`${kind} ${recorded}`, `${kind} ${actual}`]
    const known = this.#toActual.get(was)
    if (known !== undefined || this.#toRecorded.has(is)) return known === is
    this.#toActual.set(was, is)
    this.#toRecorded.set(is, was)
    this.#tentative.push([was, is])
    return true
  }

  #clash(kind: string, recorded: string, actual: string): string {
    const known = this.#toActual.get(`${kind} ${recorded}`)
    return known === undefined
      ? `${actual} already stands for ${this.#toRecorded.get(`${kind} ${actual}`)}, so it cannot stand for ${recorded}`
      : `recorded ${recorded} is ${known} here, but ${actual} came`
  }

  #undo(mark: number): void {
    for (const [recorded, actual] of this.#tentative.splice(mark)) {
      this.#toActual.delete(recorded)
      this.#toRecorded.delete(actual)
    }
  }
}

/** How old a token is depends on when the recording is played. */
function withoutAges(text: string): string {
  return text.replace(/expired \d+ seconds ago/, 'expired <n> seconds ago')
}

function scalarText(value: Json): string | null {
  return typeof value === 'string' ? value : value instanceof JsonNumber ? value.text : null
}

function differ(path: Path, recorded: Json, actual: Json, wanted = formatJson(recorded, 120)): Mismatch {
  return { path, detail: `expected ${wanted}, got ${formatJson(actual, 120)}` }
}
