import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { failed } from '../failure.ts'
import type { InspectorPage } from '../inspector/inspector-page.ts'
import { fileServer, type FileServer } from './files.ts'
import { isLoopbackOrigin } from './host-check.ts'

export interface PagesOptions {
  /** A folder to serve at `/`; without one there is a start page. */
  readonly page: string | undefined
  readonly anonKey: string
  readonly inspector: InspectorPage
  /** Whether there is a database. Called for each page, since the database is opened later. */
  readonly hasDatabase: () => boolean
}

/** Answers paths that the server does not know; `null`: 404. */
export type Pages = (request: Request) => Promise<Response | null>

/** The web side of `dev`: a page at `/`, and under `/_/` what a page needs to connect. Throws a Failure when the folder cannot be served. */
export async function openPages({ page, anonKey, inspector, hasDatabase }: PagesOptions): Promise<Pages> {
  const atRoot = page === undefined ? startPage() : await openFolder(page)
  return async (request) => {
    const { pathname, origin } = new URL(request.url)
    const isOwn = pathname.startsWith('/_/')
    const answers = isOwn
      ? ownPages(pathname, { url: origin, anonKey, database: hasDatabase() })
      : (): Promise<Response | null> => atRoot(request)
    if (answers === null || (!isOwn && pathname === '/_')) return inspector(request)
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return new Response('Only GET and HEAD.\n', { status: 405, headers: { allow: 'GET, HEAD' } })
    return isOwn ? forOwnPagesOnly(request, answers) : answers()
  }
}

function ownPages(
  pathname: string,
  config: { readonly url: string; readonly anonKey: string; readonly database: boolean },
): (() => Promise<Response | null>) | null {
  switch (pathname) {
    case '/_/client.js':
      return () => Promise.resolve(bundle('tidewire.js', 'text/javascript; charset=utf-8'))
    case '/_/tidewire.js.map':
      return () => Promise.resolve(bundle('tidewire.js.map', 'application/json; charset=utf-8'))
    case '/_/config.json':
      return () => Promise.resolve(Response.json(config, { headers: { 'cache-control': 'no-store' } }))
    default:
      return null
  }
}

/** Answers pages of this machine's servers only. */
async function forOwnPagesOnly(request: Request, answer: () => Promise<Response | null>): Promise<Response | null> {
  const origin = request.headers.get('origin')
  const isOwn = origin !== null && URL.canParse(origin) && new URL(origin).host === request.headers.get('host')
  const isForeign = origin === null ? request.headers.get('sec-fetch-site') === 'cross-site' : !isOwn && !isLoopbackOrigin(origin)
  if (isForeign) return new Response('This is for pages on this machine only.\n', { status: 403 })
  const response = await answer()
  response?.headers.set('vary', 'Origin')
  response?.headers.set('cross-origin-resource-policy', 'same-origin')
  if (origin !== null) response?.headers.set('access-control-allow-origin', origin)
  return response
}

function bundle(file: string, type: string): Response {
  const path = join(dirname(fileURLToPath(import.meta.resolve('@tidewire/client'))), file)
  if (!existsSync(path)) return new Response('The client is not bundled yet: run `npm run build`.\n', { status: 503 })
  return new Response(readFileSync(path), {
    headers: { 'content-type': type, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' },
  })
}

function startPage(): FileServer {
  const html = readFileSync(new URL('../../pages/start.html', import.meta.url), 'utf8')
  const script = /<script type="module">(.*?)<\/script>/s.exec(html)?.[1] ?? ''
  const hash = createHash('sha256').update(script).digest('base64')
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-cache',
    'content-security-policy': `default-src 'none'; script-src 'self' 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'`,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  }
  return (request) => Promise.resolve(new URL(request.url).pathname === '/' ? new Response(html, { headers }) : null)
}

async function openFolder(page: string): Promise<FileServer> {
  let isFolder
  try {
    isFolder = statSync(page).isDirectory()
  } catch {
    isFolder = false
  }
  if (!isFolder) throw failed(`--page ${page} is not a folder.`)
  return fileServer(page)
}
