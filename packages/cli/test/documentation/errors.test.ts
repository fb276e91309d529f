/** docs/errors.md lists every code that a program can meet, with cause and remedy. */
import { readFileSync } from 'node:fs'
import { CHANGES_FAULTS, GAP_REASONS } from '@tidewire/protocol'
import { expect, test } from 'vitest'
import { pathOf } from './pages.ts'

const page = readFileSync(pathOf('docs/errors.md'), 'utf8')

/** The first cell of each row under a heading, with how many cells the row fills. */
function rowsOf(heading: string): { readonly name: string; readonly cells: number }[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(heading)) ?? ''
  return section
    .split('\n')
    .filter((line) => /^\| (?!code|text|---)/.test(line))
    .map((line) => {
      const cells = line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim())
      return { name: cells[0]!.replaceAll('`', ''), cells: cells.filter((cell) => cell !== '').length }
    })
}

test('the codes of RealtimeError, all of them and no other', () => {
  const source = readFileSync(pathOf('packages/protocol/src/faults/error.ts'), 'utf8')
  const union = source.slice(source.indexOf('export type RealtimeErrorCode'), source.indexOf('export interface'))
  const codes = [...union.matchAll(/'([a-z-]+)'/g)].map(([, code]) => code!)
  expect(codes.length).toBeGreaterThan(20)
  const rows = rowsOf('Codes of the client')
  expect(rows.map(({ name }) => name).toSorted()).toEqual(codes.toSorted())
  expect(rows.filter(({ cells }) => cells !== 3)).toEqual([])
})

test.each([
  ['Codes of row changes', CHANGES_FAULTS],
  ['Reasons of a gap', GAP_REASONS],
] as const)('%s, all of them and no other', (heading, codes) => {
  const rows = rowsOf(heading)
  expect(rows.flatMap(({ name }) => name.split(', ')).toSorted()).toEqual([...codes].toSorted())
  expect(rows.filter(({ cells }) => cells !== 3)).toEqual([])
})

test.each([
  ['D16', GAP_REASONS],
  ['D17', CHANGES_FAULTS],
] as const)('%s of the protocol names them all', (rule, codes) => {
  const protocol = readFileSync(pathOf('packages/protocol/PROTOCOL.md'), 'utf8')
  const text = protocol.slice(protocol.indexOf(`- **${rule}**`)).split(/\n(?=- \*\*|## )/)[0]!
  expect(codes.filter((code) => !text.includes(`\`${code}\``))).toEqual([])
})

test('the reasons of the protocol for which a join is refused', () => {
  const protocol = readFileSync(pathOf('packages/protocol/PROTOCOL.md'), 'utf8')
  const table = protocol.slice(protocol.indexOf('- **J5**'), protocol.indexOf('- **J6**'))
  const ours = table.split('\n').filter((line) => line.startsWith('|') && !line.includes('reference only'))
  const words = new Set(ours.flatMap((line) => [...(/^\| `+ ?([A-Z]\w+)(?=: )/.exec(line)?.slice(1) ?? [])]))
  const rows = rowsOf('What the server says')
  const listed = new Set(rows.map(({ name }) => name.split(/[:,]/)[0]))
  expect(words.size).toBeGreaterThan(10)
  expect([...words].filter((word) => !listed.has(word))).toEqual([])
  expect(rows.filter(({ cells }) => cells !== 3)).toEqual([])
})

test('the codes of decisions, all of them and no other', () => {
  const source = readFileSync(pathOf('packages/server/src/decision-code.ts'), 'utf8')
  const faults = readFileSync(pathOf('packages/protocol/src/frames/decode.ts'), 'utf8')
  const decode = faults.slice(faults.indexOf('export type DecodeFault'), faults.indexOf('export interface'))
  const bounds = readFileSync(pathOf('packages/protocol/src/payloads/join-bounds.ts'), 'utf8')
  const joins = [...(/^export type JoinFault = (.*)$/m.exec(bounds)?.[1] ?? '').matchAll(/'([a-z-]+)'/g)]
  expect(joins.length).toBeGreaterThan(3)
  const codes = [...new Set([...`${source}${decode}`.matchAll(/^ {2}\| '([a-z0-9-]+)'$/gm), ...joins].map(([, code]) => code!))]
  expect(codes.length).toBeGreaterThan(40)
  const rows = rowsOf('In logs, metrics and the inspector')
  expect(rows.flatMap(({ name }) => name.split(', ')).toSorted()).toEqual([...codes, 'close-…'].toSorted())
  expect(rows.filter(({ cells }) => cells !== 3)).toEqual([])
})
