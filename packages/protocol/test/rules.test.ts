import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const PACKAGES = fileURLToPath(new URL('../../', import.meta.url))
const protocol = readFileSync(join(PACKAGES, 'protocol/PROTOCOL.md'), 'utf8')

/** The rules by section: `J` → 1, 2, 3, … */
function defined(): Map<string, number[]> {
  const rules = new Map<string, number[]>()
  for (const [, letter, number] of protocol.matchAll(/^- \*\*([A-Z])(\d+)\*\*/gm))
    rules.set(letter!, [...(rules.get(letter!) ?? []), Number(number)])
  return rules
}

/** IDs after the word "rule" or "rules", as in "(rules J2–J6, X4)"; of a range both ends. */
function cited(text: string): string[] {
  return [...text.matchAll(/\brules? ((?:[A-Z]\d+[–, ]*(?:and )?)+)/g)].flatMap(([, list]) => list!.match(/[A-Z]\d+/g) ?? [])
}

const sources = readdirSync(PACKAGES, { recursive: true, encoding: 'utf8' }).filter(
  (path) => /\.(?:tsx?|sql|md)$/.test(path) && !/(?:^|[/\\])(?:node_modules|dist)[/\\]/.test(path),
)

test('rules are numbered from 1 in every section', () => {
  const rules = defined()
  expect([...rules.keys()].join('')).toBe('VMNTJBPDFRALHICX')
  for (const [letter, numbers] of rules) expect({ letter, numbers }).toEqual({ letter, numbers: numbers.map((_, index) => index + 1) })
})

test('every rule that is cited anywhere exists', () => {
  const rules = defined()
  const exists = (id: string): boolean => rules.get(id[0]!)?.includes(Number(id.slice(1))) === true
  const texts = sources.map((path) => [path, readFileSync(join(PACKAGES, path), 'utf8')] as const)
  const unknown = texts.flatMap(([path, text]) => cited(text).flatMap((id) => (exists(id) ? [] : [`${path}: ${id}`])))
  expect(texts.flatMap(([, text]) => cited(text)).length).toBeGreaterThan(20)
  expect(unknown).toEqual([])
  const within = [...protocol.matchAll(/\b[VMNTJBPDFRALHICX]\d{1,2}\b/g)].map(([id]) => id).filter((id) => !exists(id))
  expect(within).toEqual([])
})
