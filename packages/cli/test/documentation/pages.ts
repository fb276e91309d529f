import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { blocksOf, type Block } from './markdown.ts'

export const root: URL = new URL('../../../../', import.meta.url)
export const pathOf = (path: string): string => fileURLToPath(new URL(path, root))

export interface Page {
  /** From the root, with `/`. */
  readonly path: string
  readonly text: string
  readonly blocks: readonly Block[]
}

/** Every page of the repository, by name. */
export function allPages(): Page[] {
  return markdownIn('')
    .toSorted()
    .map((path) => {
      const text = readFileSync(pathOf(path), 'utf8')
      return { path, text, blocks: blocksOf(text) }
    })
}

/** Those whose blocks are run. */
export function runPages(): Page[] {
  return allPages().filter(({ path }) => /^(README\.md|docs\/[^/]+\.md|(packages|examples)\/[^/]+\/README\.md)$/.test(path))
}

function markdownIn(folder: string): string[] {
  return readdirSync(new URL(folder, root), { withFileTypes: true }).flatMap((entry) => {
    if (/^(\..*|node_modules|dist|test-results)$/.test(entry.name)) return []
    if (entry.isDirectory()) return markdownIn(`${folder}${entry.name}/`)
    return entry.name.endsWith('.md') ? [`${folder}${entry.name}`] : []
  })
}

const SETUP = '// Setup…'

/** A page's TypeScript as a program of its own: what it calls its setup is its first block, as far as the client goes. */
export function programOf(page: Page, { code }: Block): string {
  if (!code.includes(SETUP)) return code
  const first = page.blocks.find((block) => block.code.includes('new RealtimeClient('))?.code
  if (first === undefined) throw new Error(`${page.path} has no client to set up`)
  const client = first.indexOf('new RealtimeClient(')
  const end = client + first.slice(client).search(/\n\n|\nconst |$(?![\s\S])/)
  return code.replace(SETUP, () => first.slice(0, end))
}
