import { plainNumber } from './number-text.ts'

/** Numbers such as `1e131071` are written out; so that a short text cannot become a huge one, no more than this is added. */
const MAX_GROWTH = 1_048_576

/** An object or array whose end has not been read. `members` is null in an array. */
interface Open {
  readonly members: Map<string, string> | null
  key: string
  text: string
}

/**
 * A json text in the form that jsonb gives it: keys once, in jsonb order; `": "` and `", "`; numbers without exponent.
 * `null`: jsonb cannot hold it (a zero character, half a surrogate pair, a number out of range), or it is no JSON.
 */
export function jsonbText(json: string): string | null {
  // Nested values are kept on a list, not on the call stack: the nesting is as deep as the writer of the row wanted.
  const open: Open[] = []
  const scan = new Scanner(json)
  for (;;) {
    let value = scan.scalar()
    if (value === null) {
      const bracket = scan.next()
      if (bracket !== '{' && bracket !== '[') return null
      const inner: Open = { members: bracket === '{' ? new Map() : null, key: '', text: '' }
      if (scan.skip(bracket === '{' ? '}' : ']')) value = `${bracket}${bracket === '{' ? '}' : ']'}`
      else {
        if (inner.members !== null && !scan.key(inner)) return null
        open.push(inner)
        continue
      }
    }
    for (;;) {
      const outer = open.at(-1)
      if (outer === undefined) return scan.atEnd() && !scan.broken ? value : null
      if (outer.members === null) outer.text += outer.text === '' ? value : `, ${value}`
      else outer.members.set(outer.key, value)
      const mark = scan.next()
      if (mark === ',') {
        if (outer.members !== null && !scan.key(outer)) return null
        break
      }
      if (mark !== (outer.members === null ? ']' : '}')) return null
      open.pop()
      value = outer.members === null ? `[${outer.text}]` : objectText(outer.members)
    }
  }
}

/** The order of keys in a jsonb object: by length in bytes, then byte by byte. */
export function compareKeys(one: string, other: string): number {
  if (isAscii(one) && isAscii(other)) return one.length - other.length || (one < other ? -1 : one > other ? 1 : 0)
  const [left, right] = [Buffer.from(one), Buffer.from(other)]
  return left.length - right.length || Buffer.compare(left, right)
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false
  return true
}

function objectText(members: ReadonlyMap<string, string>): string {
  let text = ''
  for (const [key, value] of [...members].sort(([one], [other]) => compareKeys(one, other)))
    text += `${text === '' ? '{' : ', '}${JSON.stringify(key)}: ${value}`
  return `${text}}`
}

class Scanner {
  readonly #json: string
  #at = 0
  #growth = 0
  broken = false

  constructor(json: string) {
    this.#json = json
  }

  atEnd(): boolean {
    this.#space()
    return this.#at === this.#json.length
  }

  next(): string | undefined {
    this.#space()
    return this.#json[this.#at++]
  }

  skip(mark: string): boolean {
    this.#space()
    if (this.#json[this.#at] !== mark) return false
    this.#at++
    return true
  }

  /** Reads `"key":` into `into`. */
  key(into: Open): boolean {
    this.#space()
    if (this.#json[this.#at] !== '"') return false
    const text = this.#string()
    if (text === null) return false
    into.key = text
    return this.skip(':')
  }

  /** The text of a string, number or word that starts here; `null` when something else does. */
  scalar(): string | null {
    this.#space()
    const first = this.#json[this.#at]
    if (first === '"') {
      const text = this.#string()
      return text === null ? null : JSON.stringify(text)
    }
    WORD.lastIndex = this.#at
    const word = WORD.exec(this.#json)?.[0]
    if (word === undefined) return null
    this.#at += word.length
    if (word === 'true' || word === 'false' || word === 'null') return word
    const plain = plainNumber(word)
    this.#growth += (plain?.length ?? 0) - word.length
    if (plain === null || this.#growth > MAX_GROWTH) this.broken = true
    return plain === null || this.broken ? '0' : plain
  }

  #string(): string | null {
    let end = this.#at + 1
    for (;;) {
      end = this.#json.indexOf('"', end)
      if (end < 0) return null
      if (!this.#escaped(end)) break
      end++
    }
    const token = this.#json.slice(this.#at, end + 1)
    this.#at = end + 1
    try {
      const text = JSON.parse(token) as string
      if (text.includes('\0') || LONE_SURROGATE.test(text)) this.broken = true
      return text
    } catch {
      return null
    }
  }

  /** Whether the quote at `quote` stands behind an odd number of backslashes. */
  #escaped(quote: number): boolean {
    let backslashes = 0
    while (this.#json[quote - 1 - backslashes] === '\\') backslashes++
    return backslashes % 2 === 1
  }

  #space(): void {
    for (;;) {
      const code = this.#json.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }
}

const WORD = /true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const LONE_SURROGATE = /\p{Surrogate}/u
