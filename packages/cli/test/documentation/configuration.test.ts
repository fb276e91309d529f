/** Files that the pages suggest, as far as this machine can judge them. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { describeEnvironment, readEnvironment } from '../../src/start/environment.ts'
import { pathOf, runPages } from './pages.ts'

const blocks = runPages().flatMap(({ path, blocks: all }) => all.map((block) => ({ ...block, path })))
const inLanguage = (language: string, info: string = ''): typeof blocks =>
  blocks.filter((block) => block.language === language && block.info === info)

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0

function withFile<Result>(name: string, content: string, work: (path: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-docs-'))
  try {
    writeFileSync(join(folder, name), content)
    return work(join(folder, name))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test.each(inLanguage('ini'))('$path, line $line: variables that `start` takes', ({ code }) => {
  const given = Object.fromEntries(code.split('\n').map((line) => line.split('=', 2) as [string, string]))
  expect(readEnvironment({ API_JWT_SECRET: 'for this test only, and long enough', ...given })).toMatchObject({
    ok: true,
    configuration: { warnings: [] },
  })
})

test('the table of variables of packages/cli has all of them', () => {
  const page = runPages().find(({ path }) => path === 'packages/cli/README.md')!
  const start = page.text.slice(page.text.indexOf('## start'))
  expect(
    describeEnvironment()
      .map(([name]) => name)
      .filter((name) => !start.includes(`\`${name}\``)),
  ).toEqual([])
})

describe.each(inLanguage('ini', 'systemd'))('$path, line $line: a unit', ({ code }) => {
  test('runs what is there, with variables that `start` takes', () => {
    const [, environment = ''] = /^Environment=(.*)$/m.exec(code) ?? []
    const given = Object.fromEntries(environment.split(' ').map((pair) => pair.split('=', 2) as [string, string]))
    expect(readEnvironment({ API_JWT_SECRET: 'for this test only, and long enough', ...given })).toMatchObject({ ok: true })
    const [, path = ''] = /^ExecStart=\S+ \/opt\/tidewire\/(\S+) start$/m.exec(code) ?? []
    expect(existsSync(pathOf(path)) && path !== '').toBe(true)
  })

  test.skipIf(!has('systemd-analyze'))('is one for systemd', () => {
    // What it runs is not installed here.
    const unit = code.replace(/^ExecStart=.*$/m, 'ExecStart=/bin/sh -c true')
    const { stderr, status } = withFile('tidewire.service', unit, (path) =>
      spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' }),
    )
    expect([stderr.split('\n').filter((line) => line.includes('tidewire.service')), status]).toEqual([[], 0])
  })
})

test.each(inLanguage('dockerfile'))('$path, line $line: a container file runs what is there', ({ code }) => {
  const [, command = '[]'] = /^CMD (\[.*\])$/m.exec(code) ?? []
  const [node, script, ...rest] = JSON.parse(command) as string[]
  expect([node, existsSync(pathOf(script!)), rest]).toEqual(['node', true, ['start']])
})

test.each(inLanguage('nginx'))('$path, line $line: a server block for nginx', ({ code }) => {
  expect(code.split('{').length).toBe(code.split('}').length)
  for (const line of code.split('\n')) expect(line.trim()).toMatch(/^$|^#|[;{}]$/)
})
