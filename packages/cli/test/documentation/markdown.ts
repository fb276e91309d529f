/** A fenced block of a page, or one that readers do not see: an HTML comment whose first word is a language. */
export interface Block {
  /** Of its first line, from 1. */
  readonly line: number
  /** The heading above it. */
  readonly heading: string
  readonly language: string
  /** What follows the language: `no-run`, `output`, the name of a file. */
  readonly info: string
  readonly code: string
}

const FENCE = /^\s*(`{3,})\s*(\S*)\s*(.*)$/
const HIDDEN = /^<!-- (ts|sql|sh|text|file)\b\s*(.*)$/

export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  const lines = markdown.split('\n')
  let heading = ''
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!
    const [, fence = '', ...fenced] = FENCE.exec(line) ?? []
    const [, ...hidden] = HIDDEN.exec(line) ?? []
    if (fence === '' && hidden.length === 0) {
      heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading
      continue
    }
    const [language = '', info = ''] = fence === '' ? hidden : fenced
    const end = lines.findIndex((other, i) => i > at && (fence === '' ? other === '-->' : other.trim() === fence))
    if (end === -1) throw new Error(`the block that begins on line ${at + 1} has no end`)
    blocks.push({ line: at + 1, heading, language, info, code: lines.slice(at + 1, end).join('\n') })
    at = end
  }
  return blocks
}

export interface Link {
  readonly line: number
  readonly target: string
}

/** Links and pictures of the text around the blocks. */
export function linksOf(markdown: string): Link[] {
  return proseOf(markdown).flatMap(({ line, text }) =>
    [...text.replaceAll(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)].map(([, inline, attribute]) => ({
      line,
      target: inline ?? attribute!,
    })),
  )
}

/** What `#…` may name, as GitHub makes it of headings. */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>()
  for (const { text } of proseOf(markdown)) {
    const title = /^#+ (.*)$/.exec(text)?.[1]
    if (title === undefined) continue
    const slug = title
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-')
    anchors.add(anchors.has(slug) ? `${slug}-1` : slug)
  }
  return anchors
}

function proseOf(markdown: string): { readonly line: number; readonly text: string }[] {
  let fence = ''
  return markdown.split('\n').flatMap((text, at) => {
    const [, found = ''] = FENCE.exec(text) ?? []
    const isInside = fence !== ''
    if (!isInside) fence = found
    else if (text.trim() === fence) fence = ''
    return isInside || found !== '' ? [] : [{ line: at + 1, text }]
  })
}
