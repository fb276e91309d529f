import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { chromiumLaunchOptions, chromiumPath, startNode, type RunningNode } from '@tidewire/testkit'
import { build } from 'esbuild'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const pathOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** Runs in the page and in a worker: joins, sends to itself, tracks itself, leaves. */
const PROGRAM = `
  async function run({ url, apikey, options }) {
    const { RealtimeClient } = await import('/client.js')
    const client = new RealtimeClient(url, { apikey, ...options })
    const room = client.channel('room-' + Math.random(), { config: { broadcast: { self: true, ack: true } } })
    const heard = new Promise((resolve) => room.onBroadcast('hello', resolve))
    const seen = new Promise((resolve) => room.onPresenceJoin((key, _, [presence]) => resolve(presence.name)))
    await room.ready()
    const sent = await room.sendBroadcast('hello', new Uint8Array([1, 2, 3]))
    await room.track({ name: 'me' })
    const { payload } = await heard
    const result = { sent, bytes: [...new Uint8Array(payload)], name: await seen, worker: client.workerRef !== undefined }
    result.gone = await client.disconnect()
    result.after = client.workerRef === undefined
    return result
  }
`

describe.skipIf(chromiumPath() === undefined)('in Chromium', () => {
  let node: RunningNode
  let pages: Server
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    const bundle = await build({
      entryPoints: [pathOf('index.ts')],
      bundle: true,
      write: false,
      format: 'esm',
      target: 'es2020',
      platform: 'browser',
      // The packages say so of what they publish, in the field "browser".
      alias: { '@tidewire/protocol': pathOf('../../protocol/src/index.ts') },
      plugins: [
        {
          name: 'browser-field',
          setup: (bundler) => bundler.onResolve({ filter: /node-websocket\.ts$/ }, () => ({ path: pathOf('io/web-websocket.ts') })),
        },
      ],
    })
    const files: Record<string, string> = {
      '/client.js': bundle.outputFiles[0]!.text,
      '/worker.js': `${PROGRAM}; onmessage = ({ data }) => run(data).then(postMessage, (error) => postMessage({ error: String(error) }))`,
      '/': `<!doctype html><title>client</title><script>${PROGRAM}</script>`,
    }
    pages = createServer(({ url = '/' }, response) => {
      const body = files[url]
      response.writeHead(body === undefined ? 404 : 200, { 'content-type': url === '/' ? 'text/html' : 'text/javascript' }).end(body)
    })
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
    node = await startNode()
    browser = await chromium.launch(chromiumLaunchOptions())
    page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`)
  })

  afterAll(async () => {
    await browser?.close()
    await node?.stop()
    await new Promise((resolve) => pages.close(resolve))
  })

  const good = { sent: 'ok', bytes: [1, 2, 3], name: 'me', gone: 'ok', after: true }

  test('in a page', async () => {
    const input = { url: node.socketUrl, apikey: node.anonKey, options: {} }
    expect(await page.evaluate((given) => (globalThis as unknown as { run(given: object): Promise<object> }).run(given), input)).toEqual({
      ...good,
      worker: false,
    })
  })

  test('in a page, with the time kept by a worker', async () => {
    const input = { url: node.socketUrl, apikey: node.anonKey, options: { worker: true } }
    expect(await page.evaluate((given) => (globalThis as unknown as { run(given: object): Promise<object> }).run(given), input)).toEqual({
      ...good,
      worker: true,
    })
  })

  test('in a worker', async () => {
    const input = { url: node.socketUrl, apikey: node.anonKey, options: {} }
    const result = await page.evaluate(
      (given) =>
        new Promise((resolve, reject) => {
          const worker = new Worker('/worker.js', { type: 'module' })
          worker.onmessage = ({ data }) => resolve(data)
          worker.onerror = ({ message }) => reject(new Error(message))
          worker.postMessage(given)
        }),
      input,
    )
    expect(result).toEqual({ ...good, worker: false })
  })
})
