/** The published file for pages, as it is, in Chromium: in a page, under a strict policy, and in a worker. Needs the build. */
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chromiumLaunchOptions, chromiumPath, startNode, type RunningNode } from '@tidewire/testkit'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ALL_IS_WELL, EVERYWHERE } from '../../packages/client/test/everywhere.ts'

/** The keys of what `/program.js` puts into the page. */
interface PageGlobals {
  run(input: object): Promise<object>
  runInWorker(input: object): Promise<object>
}

const files: Readonly<Record<string, string>> = {
  '/client.js': readFileSync(new URL('../../packages/client/dist/tidewire.js', import.meta.url), 'utf8'),
  '/program.js': `${EVERYWHERE}
    globalThis.run = async (input) => everywhere(await import('/client.js'), input)
    globalThis.runInWorker = (input) => new Promise((resolve, reject) => {
      const worker = new Worker('/worker.js', { type: 'module' })
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = ({ message }) => reject(new Error(message))
      worker.postMessage(input)
    })`,
  '/worker.js': `import * as client from '/client.js'; ${EVERYWHERE}
    onmessage = ({ data }) => everywhere(client, data).then(postMessage, (error) => postMessage({ error: String(error) }))`,
  '/keep-alive.js': `onmessage = ({ data }) => { if (data.event === 'start') setInterval(() => postMessage({ event: 'keepAlive' }), data.interval) }`,
}
const html = '<!doctype html><title>client</title><script src="/program.js"></script>'

describe.skipIf(chromiumPath() === undefined)('in Chromium', () => {
  let node: RunningNode
  let pages: Server
  let browser: Browser
  let origin: string
  const opened: Page[] = []

  beforeAll(async () => {
    node = await startNode()
    // A page that may load its own scripts and talk to the server; nothing inline, no blob, no `eval`.
    const policy = `default-src 'none'; script-src 'self'; worker-src 'self'; connect-src ${node.url} ${node.url.replace('http', 'ws')}`
    pages = createServer(({ url = '/' }, response) => {
      const body = files[url] ?? html
      const type = body === html ? 'text/html' : 'text/javascript'
      response
        .writeHead(200, { 'content-type': type, ...(url.startsWith('/strict') ? { 'content-security-policy': policy } : {}) })
        .end(body)
    })
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`
    browser = await chromium.launch(chromiumLaunchOptions())
  })

  afterEach(async () => {
    for (const page of opened.splice(0)) await page.close()
  })

  afterAll(async () => {
    await browser?.close()
    await node?.stop()
    await new Promise((resolve) => pages.close(resolve))
  })

  async function open(path: string): Promise<{ page: Page; faults: string[] }> {
    const page = await browser.newPage()
    opened.push(page)
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(error.message))
    await page.goto(origin + path)
    return { page, faults }
  }

  async function run(path: string, options: object = {}): Promise<object> {
    const { page, faults } = await open(path)
    const input = { url: node.socketUrl, apikey: node.anonKey, options }
    const result = await page.evaluate((given) => (globalThis as unknown as PageGlobals).run(given), input)
    expect(faults).toEqual([])
    return result
  }

  test('in a page', async () => {
    expect(await run('/')).toEqual(ALL_IS_WELL)
  })

  test('in a page, with the time kept by a worker', async () => {
    expect(await run('/', { worker: true })).toEqual({ ...ALL_IS_WELL, worker: true })
  })

  test('under a strict policy', async () => {
    expect(await run('/strict')).toEqual(ALL_IS_WELL)
  })

  test('under a policy that forbids workers from blobs the page keeps the time, and a worker from a URL works', async () => {
    expect(await run('/strict', { worker: true })).toEqual(ALL_IS_WELL)
    expect(await run('/strict', { worker: true, workerUrl: '/keep-alive.js' })).toEqual({ ...ALL_IS_WELL, worker: true })
  })

  test('in a worker, where there is no window', async () => {
    const { page } = await open('/')
    const input = { url: node.socketUrl, apikey: node.anonKey }
    expect(await page.evaluate((given) => (globalThis as unknown as PageGlobals).runInWorker(given), input)).toEqual(ALL_IS_WELL)
  })
})
