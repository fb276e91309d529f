/**
 * The texts of arrays and rows: values inside values, quoted and escaped. Both readers hand every element's own text to
 * `element` (`null` for SQL null) and answer false when the text is not what it should be.
 */

/** `{1,NULL,"a,b",{2,3}}`. `open` and `close` are called for every dimension. */
export function readArray(
  text: string,
  delimiter: string,
  events: { open(): void; close(): void; element(text: string | null): void },
): boolean {
  // Arrays that do not start at 1 say so in front: [0:2]={1,2,3}
  let at = text.startsWith('[') ? text.indexOf('=') + 1 : 0
  let depth = 0
  for (;;) {
    const mark = text[at]
    if (mark === '{') {
      events.open()
      depth++
      at++
      if (text[at] !== '}') continue
    } else if (depth === 0) return false
    else if (mark === '"') {
      const quoted = readQuoted(text, at, false)
      if (quoted === null) return false
      events.element(quoted.value)
      at = quoted.end
    } else {
      const end = unquotedEnd(text, at, delimiter, '}')
      if (end === at) return false
      const value = text.slice(at, end)
      events.element(value === 'NULL' ? null : value)
      at = end
    }
    while (text[at] === '}' && depth > 0) {
      events.close()
      depth--
      at++
    }
    if (depth === 0) return at === text.length
    if (text[at] !== delimiter) return false
    at++
  }
}

/** `(1,,"a ""b""")`: a row's columns, of which there must be `count`. */
export function readRow(text: string, count: number, element: (index: number, text: string | null) => void): boolean {
  if (!text.startsWith('(') || !text.endsWith(')')) return false
  if (count === 0) return text === '()'
  let at = 1
  for (let index = 0; index < count; index++) {
    if (text[at] === '"') {
      const quoted = readQuoted(text, at, true)
      if (quoted === null) return false
      element(index, quoted.value)
      at = quoted.end
    } else {
      const end = unquotedEnd(text, at, ',', ')')
      element(index, end === at ? null : text.slice(at, end))
      at = end
    }
    if (text[at] !== (index === count - 1 ? ')' : ',')) return false
    at++
  }
  return at === text.length
}

function unquotedEnd(text: string, from: number, delimiter: string, bracket: string): number {
  let at = from
  while (at < text.length && text[at] !== delimiter && text[at] !== bracket) at++
  return at
}

/** A quoted value from its first quote on; in rows a quote is written twice, everywhere a backslash escapes. */
function readQuoted(text: string, from: number, doubled: boolean): { readonly value: string; readonly end: number } | null {
  let value = ''
  let start = from + 1
  for (let at = start; at < text.length; at++) {
    const mark = text[at]
    if (mark === '\\' || (mark === '"' && doubled && text[at + 1] === '"')) {
      value += text.slice(start, at)
      start = at + 1
      at++
    } else if (mark === '"') return { value: value + text.slice(start, at), end: at + 1 }
  }
  return null
}
