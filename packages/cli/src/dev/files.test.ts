import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileServer, type FileServer } from './files.ts'

let folder: string
let serve: FileServer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidewire-files-'))
  const write = (path: string, content = path): void => writeFileSync(join(folder, path), content)
  for (const name of ['site', 'site/sub', 'site/empty', 'site/.hidden', 'site/sp ace', 'outside']) mkdirSync(join(folder, name))
  for (const path of [
    'site/index.html',
    'site/app.js',
    'site/a.CSS',
    'site/pic.svg',
    'site/data',
    'site/sub/index.html',
    'site/sp ace/ü.txt',
  ])
    write(path)
  for (const path of ['secret.txt', 'outside/secret.txt', 'site/.env', 'site/.hidden/secret.txt']) write(path, 'secret')
  write('site/nothing.txt', '')
  symlinkSync(join(folder, 'outside'), join(folder, 'site', 'linked'))
  symlinkSync(join(folder, 'secret.txt'), join(folder, 'site', 'link.txt'))
  symlinkSync(join(folder, 'site', '.env'), join(folder, 'site', 'env.txt'))
  symlinkSync(join(folder, 'site', 'app.js'), join(folder, 'site', 'alias.js'))
  serve = await fileServer(join(folder, 'site'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ask = (path: string, method = 'GET'): Promise<Response | null> => serve(new Request(`http://localhost${path}`, { method }))

describe('what is there', () => {
  test.each([
    ['/', 'site/index.html', 'text/html; charset=utf-8'],
    ['/index.html', 'site/index.html', 'text/html; charset=utf-8'],
    ['/app.js', 'site/app.js', 'text/javascript; charset=utf-8'],
    ['/app.js?v=1', 'site/app.js', 'text/javascript; charset=utf-8'],
    ['/alias.js', 'site/app.js', 'text/javascript; charset=utf-8'],
    ['/a.CSS', 'site/a.CSS', 'text/css; charset=utf-8'],
    ['/pic.svg', 'site/pic.svg', 'image/svg+xml; charset=utf-8'],
    ['/data', 'site/data', 'application/octet-stream'],
    ['/sub/', 'site/sub/index.html', 'text/html; charset=utf-8'],
    ['/sub/../app.js', 'site/app.js', 'text/javascript; charset=utf-8'],
    ['/sp%20ace/%C3%BC.txt', 'site/sp ace/ü.txt', 'text/plain; charset=utf-8'],
    ['/nothing.txt', '', 'text/plain; charset=utf-8'],
  ])('%s', async (path, content, type) => {
    const response = (await ask(path))!
    expect([response.status, await response.text()]).toEqual([200, content])
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': type,
      'content-length': String(Buffer.byteLength(content)),
      'x-content-type-options': 'nosniff',
    })
  })

  test('HEAD says the length without the content', async () => {
    const response = (await ask('/app.js', 'HEAD'))!
    expect([response.headers.get('content-length'), await response.text()]).toEqual(['11', ''])
  })

  test('a folder is called with a slash at its end, and never by another host', async () => {
    for (const path of ['/sub', '//sub', '///sub']) {
      const response = (await ask(path))!
      expect([response.status, response.headers.get('location')]).toEqual([308, '/sub/'])
    }
  })
})

describe('what is not there', () => {
  test.each([
    ...['/missing', '/missing/', '/empty/', '/app.js/', '/sub/missing.html', '/%', '/%00', '/app.js%00.html'],
    ...['/.env', '/%2eenv', '/.hidden/secret.txt', '/sub/../.env', '/env.txt'],
    ...['/link.txt', '/linked/secret.txt', '/linked/'],
    ...['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/sub/..%2f..%2fsecret.txt', '/..%5csecret.txt', '/....//secret.txt'],
    ...['/C:/secret.txt', '/app.js::$DATA', '/%5c%5chost%5cshare'],
  ])('%s', async (path) => expect(await ask(path)).toBeNull())

  test('no path leads to a secret', async () => {
    const pieces = [
      '..',
      '.',
      '%2e',
      '%2f',
      '/',
      '\\',
      '%5c',
      'sub',
      'linked',
      'link.txt',
      '.hidden',
      '.env',
      'env.txt',
      'secret.txt',
      'outside',
      '%00',
      ':',
    ]
    const paths = fc.array(fc.constantFrom(...pieces), { maxLength: 8 }).map((parts) => `/${parts.join('/')}`)
    await fc.assert(
      fc.asyncProperty(paths, async (path) => {
        const response = await ask(path)
        expect(response === null ? '' : await response.text()).not.toBe('secret')
      }),
      { numRuns: 500 },
    )
  })
})
