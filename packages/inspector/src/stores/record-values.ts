/** A member of a JSON object whose value is no object and no list, up to what follows it: a text or number that was cut is none. */
const MEMBER = /\s*"((?:[^"\\]|\\.)*)"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?\d[\d.eE+-]*|true|false))\s*(?=[,}])/y
/** A member of whatever value, at its beginning. */
const NAME = /\s*"(?:[^"\\]|\\.)*"\s*:\s*/y

/**
 * The values of a row change's record as texts, as far as they are numbers, booleans and strings: read from the text, which may
 * be cut, and because a number of JavaScript holds no `bigint`. Of a deleted row, those of the old record.
 */
export function recordValues(payload: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  const record = /"record"\s*:\s*\{(?!\s*\})/.exec(payload) ?? /"old_record"\s*:\s*\{/.exec(payload)
  if (record === null) return values
  let at = record.index + record[0].length
  while (at < payload.length) {
    MEMBER.lastIndex = at
    const member = MEMBER.exec(payload)
    if (member !== null) {
      const [all, name, text, other] = member
      values.set(unescaped(name!), other ?? unescaped(text!))
      at += all.length
    } else {
      NAME.lastIndex = at
      const name = NAME.exec(payload)
      if (name === null) break
      at = endOfValue(payload, at + name[0].length)
    }
    if (payload[at] !== ',') break
    at++
  }
  return values
}

/** Where a value ends: at the comma or the bracket of what it stands in. */
function endOfValue(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const character = text[at]
    if (character === '"') {
      for (at++; at < text.length && text[at] !== '"'; at++) if (text[at] === '\\') at++
    } else if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') {
      if (depth === 0) return at
      depth--
    } else if (character === ',' && depth === 0) return at
  }
  return text.length
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    return text
  }
}
