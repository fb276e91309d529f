import { open, realpath, stat } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import { Readable } from 'node:stream'

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.htm': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.xml': 'application/xml; charset=utf-8',
  '.svg': 'image/svg+xml; charset=utf-8',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
  '.avif': 'image/avif',
  '.ico': 'image/x-icon',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.ttf': 'font/ttf',
  '.otf': 'font/otf',
  '.mp3': 'audio/mpeg',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
  '.wasm': 'application/wasm',
  '.pdf': 'application/pdf',
}

/** Answers GET and HEAD with the files of a folder; `null` when there is no such file. */
export type FileServer = (request: Request) => Promise<Response | null>

/**
 * Serves a folder: nothing outside of it, wherever its links lead, and nothing in it whose name begins with a dot, such
 * as `.env` or `.tidewire`.
 */
export async function fileServer(folder: string): Promise<FileServer> {
  const root = await realpath(folder)
  return async (request) => {
    const { pathname } = new URL(request.url)
    const names = namesOf(pathname)
    if (names === null) return null
    const asked = await placeIn(root, join(root, ...names))
    if (asked === null) return null
    if (asked.isFolder && !pathname.endsWith('/')) return redirect(`/${names.map(encodeURIComponent).join('/')}/`)
    const found = asked.isFolder ? await placeIn(root, join(asked.path, 'index.html')) : asked
    if (found === null || found.isFolder || (!asked.isFolder && pathname.endsWith('/'))) return null
    return sendFile(found.path, request.method)
  }
}

/** The segments of a path; `null` for a path that no served file can have. */
function namesOf(pathname: string): readonly string[] | null {
  let decoded: string
  try {
    decoded = decodeURIComponent(pathname)
  } catch {
    return null
  }
  const names = decoded.split('/').filter((name) => name !== '')
  // A colon names a drive or a stream of a file on Windows, a backslash parts names there.
  return names.some((name) => /[\\:\0]/.test(name)) ? null : names
}

interface Place {
  readonly path: string
  readonly isFolder: boolean
}

/** The file or folder of a path, links resolved; `null` when it does not exist, is outside of the root, hidden, or special. */
async function placeIn(root: string, path: string): Promise<Place | null> {
  try {
    const real = await realpath(path)
    const inside = relative(root, real)
    if (real !== root && inside.split(sep).some((name) => name.startsWith('.') || name.includes(':'))) return null
    const found = await stat(real)
    return found.isFile() || found.isDirectory() ? { path: real, isFolder: found.isDirectory() } : null
  } catch {
    return null
  }
}

async function sendFile(path: string, method: string): Promise<Response | null> {
  let file
  try {
    file = await open(path)
  } catch {
    return null
  }
  const { size } = await file.stat()
  const headers = {
    'content-type': CONTENT_TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream',
    'content-length': String(size),
    'cache-control': 'no-cache',
    'x-content-type-options': 'nosniff',
  }
  if (method === 'HEAD' || size === 0) {
    await file.close()
    return new Response(null, { headers })
  }
  // Not more than `content-length`, even if the file grows meanwhile.
  return new Response(Readable.toWeb(file.createReadStream({ end: size - 1 })) as ReadableStream, { headers })
}

function redirect(location: string): Response {
  return new Response(null, { status: 308, headers: { location } })
}
