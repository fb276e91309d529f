/** The blocks of README.md, docs/ and the packages' pages, as printed, against a real server on a real Postgres. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DocsServer } from './docs-server.ts'
import { checkOf, PageRun } from './page-run.ts'
import { runPages } from './pages.ts'

let server: DocsServer
beforeAll(async () => {
  server = await DocsServer.start()
})
afterAll(() => server.stop())

describe.each(runPages().filter(({ blocks }) => blocks.some((block) => checkOf(block) !== null)))('$path', (page) => {
  let run: PageRun
  beforeAll(() => {
    run = new PageRun(server, page)
  })
  afterAll(() => run.end())

  const checked = page.blocks.map((block) => ({ ...block, check: checkOf(block) })).filter(({ check }) => check !== null)
  test.each(checked)('line $line, $heading: $language', { timeout: 60_000 }, async (block) => {
    if (block.check === 'parse') for (const value of jsonOf(block.code)) JSON.parse(value)
    else if (block.check === 'run') await run.run(block)
    else {
      const { printed, expected } = await run.printed(block)
      expect(printed).toEqual(expected)
    }
  })
})

/** One value, one a line, or a member of an object. */
function jsonOf(code: string): string[] {
  if (code.startsWith('"')) return [`{${code}}`]
  return /^\}\n\{/m.test(code) || code.split('\n').every((line) => line.startsWith('{') && line.endsWith('}')) ? code.split('\n') : [code]
}
