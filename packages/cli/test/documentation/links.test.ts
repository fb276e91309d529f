/** Every link between pages leads somewhere, and every script that a page names is there. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path/posix'
import { describe, expect, test } from 'vitest'
import { anchorsOf, linksOf } from './markdown.ts'
import { allPages, pathOf } from './pages.ts'

const pages = allPages()

function scriptsOf(folder: string): readonly string[] {
  const file = pathOf(join(folder, 'package.json'))
  if (!existsSync(file)) return []
  return Object.keys((JSON.parse(readFileSync(file, 'utf8')) as { readonly scripts?: object }).scripts ?? {})
}

function isThere(from: string, target: string): boolean {
  if (/^(https?|mailto):/.test(target)) return true
  const [path = '', anchor] = target.split('#')
  const file = path === '' ? from : join(dirname(from), path)
  if (!existsSync(pathOf(file))) return false
  return anchor === undefined || !file.endsWith('.md') || anchorsOf(readFileSync(pathOf(file), 'utf8')).has(anchor)
}

describe.each(pages)('$path', ({ path, text }) => {
  test('a merge left nothing in it', () => {
    expect(text).not.toMatch(/^(<{7}|>{7}) /m)
  })

  test('its links lead somewhere', () => {
    expect(linksOf(text).filter(({ target }) => !isThere(path, target))).toEqual([])
  })

  test('the scripts it names are there', () => {
    const named = [...text.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name]) => name!)
    const there = new Set(['', dirname(path)].flatMap(scriptsOf))
    expect(named.filter((name) => !there.has(name))).toEqual([])
  })

  test('the files and folders it names from the root are there', () => {
    const named = [...text.matchAll(/(?<![\w./-])(?:packages|bench|examples|docs|scripts|\.ci)\/[\w./-]*(?!\*)/g)].map(([name]) => name)
    expect(named.filter((name) => !existsSync(pathOf(name.replace(/\.$/, ''))))).toEqual([])
  })
})

test.each(['ARCHITECTURE.md', 'packages/protocol/PROTOCOL.md'])('%s names files and folders that are there', (page) => {
  const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: pathOf('.'), encoding: 'utf8' })
  const files = tracked.split('\n').map((file) => `/${file}`)
  const named = [...readFileSync(pathOf(page), 'utf8').matchAll(/`([\w./-]+(?:\.ts|\/))`/g)].map(([, name]) => name!)
  expect(named).not.toEqual([])
  const isOneOfOurs = (name: string): boolean =>
    files.some((file) => (name.endsWith('/') ? file.includes(`/${name}`) : file.endsWith(`/${name}`)))
  expect(named.filter((name) => !isOneOfOurs(name))).toEqual([])
})

test('llms.txt names pages that are there, and every page of docs/', () => {
  const listed = linksOf(readFileSync(pathOf('llms.txt'), 'utf8')).map(({ target }) => target)
  expect(listed.filter((target) => !isThere('llms.txt', target))).toEqual([])
  expect(pages.filter(({ path }) => path.startsWith('docs/') && !listed.includes(path))).toEqual([])
})
