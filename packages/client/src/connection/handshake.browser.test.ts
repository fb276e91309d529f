/** A page of another origin finds out what stands in its way. Browsers themselves say 1006, whatever it is. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { chromiumLaunchOptions, chromiumPath, startNode, type RunningNode } from '@tidewire/testkit'
import { build } from 'esbuild'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type * as Tidewire from '../index.ts'

describe.skipIf(chromiumPath() === undefined)('a handshake that fails in Chromium', () => {
  let node: RunningNode
  let pages: Server
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('../index.ts', import.meta.url))],
      bundle: true,
      format: 'iife',
      globalName: 'tidewire',
      external: ['ws'],
      write: false,
    })
    const html = `<!doctype html><title>handshake</title><script>${outputFiles[0]!.text.replaceAll('</script', '<\\/script')}</script>`
    pages = createServer((_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end(html))
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
    node = await startNode()
    browser = await chromium.launch(chromiumLaunchOptions())
    page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`)
  })

  afterAll(async () => {
    await browser?.close()
    await node?.stop()
    if (pages !== undefined) await new Promise((resolve) => pages.close(resolve))
  })

  /** The first error of a channel, and what the connection does after it. */
  const errorAt = (url: string, apikey: string): Promise<unknown> =>
    page.evaluate(
      ([address, key]) =>
        new Promise((resolve) => {
          const { RealtimeClient } = (globalThis as unknown as { tidewire: typeof Tidewire }).tidewire
          const client = new RealtimeClient(address, { apikey: key })
          client.channel('room').subscribe((status, error) => {
            resolve(status === 'SUBSCRIBED' ? status : [error?.code, error?.retryable, client.state.kind, error?.message])
            void client.disconnect()
          })
        }),
      [url, apikey] as const,
    )

  test('a key that the server does not take', async () => {
    const wanted = ['unauthorized', false, 'disconnected', `${node.socketUrl}/websocket does not take the API key (401).`]
    expect(await errorAt(node.socketUrl, 'wrong')).toEqual(wanted)
  })

  test('a path where there is no server', async () => {
    const base = node.url.replace('http', 'ws')
    const message = `No realtime server at ${base}/websocket (404): its URL ends in /realtime/v1.`
    expect(await errorAt(base, node.anonKey)).toEqual(['wrong-path', false, 'disconnected', message])
  })

  test('nothing that answers: it is tried again', async () => {
    const message = 'No server answers at ws://127.0.0.1:9/realtime/v1/websocket.'
    expect(await errorAt('ws://127.0.0.1:9/realtime/v1', node.anonKey)).toEqual(['unreachable', true, 'waiting', message])
  })

  test('the right URL and key', async () => {
    expect(await errorAt(node.socketUrl, node.anonKey)).toBe('SUBSCRIBED')
  })
})
