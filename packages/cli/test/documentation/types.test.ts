/** The TypeScript of the pages, those blocks too that are not run, under the compiler's strict rules. */
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { pathOf, programOf, runPages } from './pages.ts'

const folder = pathOf('node_modules/.cache/documentation/types')

test('has the types it should', { timeout: 120_000 }, async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/package.json`, '{"type":"module"}')
  for (const page of runPages()) {
    const place = `${folder}/${page.path.replaceAll('/', '-')}`
    mkdirSync(place, { recursive: true })
    for (const block of page.blocks) {
      if (block.language === 'ts') writeFileSync(`${place}/line-${block.line}.mts`, `${programOf(page, block)}\nexport {}\n`)
      if (block.language === 'tsx') writeFileSync(`${place}/line-${block.line}.tsx`, block.code)
      if (block.language === 'file') writeFileSync(`${place}/${block.info}`, block.code)
    }
  }
  writeFileSync(
    `${folder}/tsconfig.json`,
    JSON.stringify({
      extends: pathOf('tsconfig.base.json'),
      compilerOptions: {
        ...{ noEmit: true, composite: false, declaration: false, isolatedDeclarations: false, rewriteRelativeImportExtensions: false },
        ...{
          lib: ['ES2023', 'DOM', 'DOM.Iterable', 'ESNext.Disposable'],
          types: ['node'],
          typeRoots: [pathOf('node_modules/@types')],
          jsx: 'react-jsx',
        },
      },
      include: ['**/*'],
    }),
  )
  const tsc = pathOf('node_modules/typescript/bin/tsc')
  const outcome = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch((error: { stdout: string }) => error)
  expect(outcome.stdout).toBe('')
})
