/** Whether a name fits a name of a join's entry, which may be a pattern (rule D3). Takes no longer than the product of their lengths. */
export function nameMatches(pattern: string, name: string): boolean {
  if (pattern === '*' || pattern === name) return true
  if (!/[%_\\]/.test(pattern)) return false
  const wanted = likeTokens(pattern)
  const chars = Array.from(name)
  let at = 0
  let token = 0
  let anyToken = -1
  let anyAt = 0
  while (at < chars.length) {
    const next = wanted[token]
    if (next?.kind === 'any') {
      anyToken = token++
      anyAt = at
    } else if (next !== undefined && (next.kind === 'one' || next.char === chars[at])) {
      token++
      at++
    } else if (anyToken >= 0) {
      // The last `%` takes one character more.
      token = anyToken + 1
      at = ++anyAt
    } else return false
  }
  while (wanted[token]?.kind === 'any') token++
  return token === wanted.length
}

type LikeToken = { readonly kind: 'any' } | { readonly kind: 'one' } | { readonly kind: 'char'; readonly char: string }

function likeTokens(pattern: string): LikeToken[] {
  const tokens: LikeToken[] = []
  const chars = Array.from(pattern)
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at]!
    if (char === '%') {
      if (tokens.at(-1)?.kind !== 'any') tokens.push({ kind: 'any' })
    } else if (char === '_') tokens.push({ kind: 'one' })
    else tokens.push({ kind: 'char', char: char === '\\' && at + 1 < chars.length ? chars[++at]! : char })
  }
  return tokens
}
