import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import type { InspectorSession } from '@tidewire/protocol'
import type { Decision } from '@tidewire/server'

export interface InspectorPageOptions {
  /** The key for a page. Called for pages of this server only. */
  session(): Promise<InspectorSession>
  /** Called for each request for a key that is refused. */
  refused(decision: Decision): void
}

/** Answers the paths of the inspector; `null` for others. */
export type InspectorPage = (request: Request) => Promise<Response | null>

const FILE = new URL('../../pages/inspector.html', import.meta.url)

const FOREIGN = 'The inspector is for its own page only: open it at /_/ of this server.\n'

/** The page at `/_/`, and the key at `/_/session.json`, which only that page may read. */
export function inspectorPage(options: InspectorPageOptions): InspectorPage {
  let page: Page | null = null
  return async (request) => {
    const { pathname } = new URL(request.url)
    if (pathname === '/_') return onlyReading(request) ?? new Response(null, { status: 302, headers: { location: '/_/' } })
    if (pathname === '/_/') {
      // The page may be built later, so a failure is not remembered.
      page ??= readPage()
      return onlyReading(request) ?? showPage(page, request)
    }
    if (pathname !== '/_/session.json') return null
    const refusal = onlyReading(request)
    if (refusal !== null) return refusal
    if (isOwnPage(request)) return Response.json(await options.session(), { headers: PRIVATE })
    options.refused({
      kind: 'http-refused',
      code: 'admin-origin',
      detail: 'something else than the page of the inspector asked for its key',
    })
    return new Response(FOREIGN, { status: 403, headers: PRIVATE })
  }
}

const PRIVATE = {
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  vary: 'Origin, Sec-Fetch-Site',
}

/**
 * Whether a page of this server asks: its browser says so. Other pages cannot pretend to be it, and read no answer that is
 * not meant for them; a request without those headers gets no key.
 */
function isOwnPage(request: Request): boolean {
  const origin = request.headers.get('origin')
  if (origin !== null && !(URL.canParse(origin) && new URL(origin).host === request.headers.get('host'))) return false
  return request.headers.get('sec-fetch-site') === 'same-origin'
}

function onlyReading({ method }: Request): Response | null {
  if (method === 'GET' || method === 'HEAD') return null
  return new Response('Only GET and HEAD.\n', { status: 405, headers: { allow: 'GET, HEAD' } })
}

interface Page {
  readonly html: string
  /** The content security policy without the host that the page connects to. */
  readonly policy: string
}

function readPage(): Page | null {
  if (!existsSync(FILE)) return null
  const html = readFileSync(FILE, 'utf8')
  const policy = [
    "default-src 'none'",
    `script-src ${hashes(html, 'script')}`,
    `style-src ${hashes(html, 'style')}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  return { html, policy }
}

function showPage(page: Page | null, request: Request): Response {
  if (page === null) return new Response('The inspector is not built yet: run `npm run build`.\n', { status: 503 })
  const host = request.headers.get('host') ?? ''
  // Some browsers do not count WebSockets to the own host as 'self'.
  const sockets = /^[\w.:[\]-]+$/.test(host) ? ` ws://${host} wss://${host}` : ''
  return new Response(page.html, {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'content-security-policy': `${page.policy}; connect-src 'self'${sockets}`,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
    },
  })
}

/** Hashes of the inline scripts or styles, for the policy: nothing else runs. */
function hashes(html: string, tag: 'script' | 'style'): string {
  const inline = [...html.matchAll(new RegExp(`<${tag}(?:\\s[^>]*)?>(.*?)</${tag}>`, 'gs'))].map(([, text]) => text ?? '')
  const found = inline.filter((text) => text !== '').map((text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`)
  return found.length === 0 ? "'none'" : found.join(' ')
}
