import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RealtimeClient } from '@tidewire/client'
import type { ChangeFeed, ChangeListener, ChangeRequest } from '@tidewire/server'
import { chromiumLaunchOptions, chromiumPath, startNode, type RunningNode } from '@tidewire/testkit'
import { build } from 'esbuild'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Meta, Scene } from '../test/page.tsx'
import { reactVersions } from '../test/react-versions.ts'

const pathOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const soon = { timeout: 10_000 }

/** Keeps the frames that a page sends, as `event topic`, heartbeats left out. */
const RECORDER = `
  globalThis.sent = []
  globalThis.joins = []
  globalThis.sockets = []
  globalThis.WebSocket = class extends WebSocket {
    constructor(...given) { super(...given); sockets.push(this) }
    send(data) {
      if (typeof data === 'string') {
        const [, , topic, event, payload] = JSON.parse(data)
        if (event !== 'heartbeat') sent.push(event === 'presence' ? payload.event : event)
        if (event === 'phx_join') joins.push(payload.config)
      } else sent.push('broadcast')
      super.send(data)
    }
  }
`

/** A feed that a test writes the changes of. */
class HandFeed implements ChangeFeed {
  readonly #open = new Map<ChangeRequest, ChangeListener>()

  open(request: ChangeRequest, listener: ChangeListener): { setIdentity(): void; close(): void } {
    this.#open.set(request, listener)
    const isMissing = request.entries.some(({ entry }) => (entry as { table: string }).table === 'nope')
    setImmediate(() =>
      isMissing
        ? listener.system('error', 'Unable to subscribe to changes', { code: 'missing-table', hint: 'There is no table public.nope' })
        : listener.system('ok', 'Subscribed to PostgreSQL'),
    )
    return { setIdentity: () => {}, close: () => this.#open.delete(request) }
  }

  insert(table: string, title: string): void {
    for (const [{ entries }, listener] of this.#open) {
      const ids = entries.filter(({ entry }) => (entry as { table: string }).table === table).map(({ id }) => id)
      const columns = [{ name: 'title', type: 'text' }]
      const data = {
        schema: 'public',
        table,
        type: 'INSERT',
        commit_timestamp: '2026-01-01T00:00:00Z',
        columns,
        record: { title },
        errors: null,
      }
      if (ids.length > 0) listener.change('postgres_changes', Buffer.from(JSON.stringify({ ids, data })))
    }
  }
}

const versions = chromiumPath() === undefined ? [] : await reactVersions()

describe.skipIf(chromiumPath() === undefined)('the hooks in Chromium', () => {
  const feed = new HandFeed()
  const files: Record<string, string> = {}
  let node: RunningNode
  let pages: Server
  let browser: Browser
  let other: RealtimeClient

  beforeAll(async () => {
    for (const { major, modules } of versions) if (modules !== undefined) files[`/react-${major}.js`] = await bundle(modules)
    pages = createServer(({ url = '/' }, response) => {
      const script = files[url]
      const html = `<!doctype html><title>react</title><div id="root"></div><script type="module" src="${url.slice(2)}"></script>`
      response.writeHead(200, { 'content-type': script === undefined ? 'text/html' : 'text/javascript' }).end(script ?? html)
    })
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
    node = await startNode({ changeFeed: feed })
    other = new RealtimeClient(node.socketUrl, { apikey: node.anonKey })
    browser = await chromium.launch(chromiumLaunchOptions())
  })

  afterAll(async () => {
    await other?.removeAllChannels()
    await browser?.close()
    await node?.stop()
    if (pages !== undefined) await new Promise((resolve) => pages.close(resolve))
  })

  const suite = (major: number): void => {
    let page: Page
    let topic: string
    let complaints: string[]
    let count = 0

    beforeEach(async () => {
      page = await browser.newPage()
      complaints = []
      page.on('pageerror', (error) => complaints.push(error.message))
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
      await page.addInitScript(`globalThis.config = ${JSON.stringify({ url: node.socketUrl, apikey: node.anonKey })};${RECORDER}`)
      await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/?/react-${major}.js`)
      await page.waitForFunction('globalThis.page !== undefined')
      topic = `room-${major}-${++count}`
    })

    afterEach(() => page?.close())

    const show = (scene: Partial<Scene> | null): Promise<void> =>
      page.evaluate((given) => globalThis.page.show(given), scene === null ? null : { topic, ...scene })
    const sent = (): Promise<string[]> => page.evaluate('sent')
    const text = (id: string): Promise<string> => page.locator(`#${id}`).innerText()
    const people = async (): Promise<string[]> => (await page.locator('#people li').allTextContents()).toSorted()
    const joined = async (id: string): Promise<void> => {
      await expect.poll(() => text(`state-${id}`), soon).toBe('joined')
    }
    const forgotten = async (): Promise<void> => {
      await expect.poll(() => page.evaluate('page.client.getChannels().length'), soon).toBe(0)
    }

    test('this is the version', async () => {
      expect(await page.evaluate(() => globalThis.page.version)).toMatch(new RegExp(`^${major}\\.`))
    })

    test('StrictMode makes one join with what all components want, and leaves once', async () => {
      await show({ name: 'Ada', tables: ['todos', 'notes'], chats: [{ id: 'a' }, { id: 'b' }] })
      await joined('a')
      await expect.poll(people, soon).toEqual(['Ada'])
      expect(await sent()).toEqual(['phx_join', 'track'])
      expect(await page.evaluate('joins')).toMatchObject([
        {
          presence: { enabled: true },
          postgres_changes: [
            { table: 'todos', filter: 'id=gt.0' },
            { table: 'notes', filter: 'id=gt.0' },
          ],
        },
      ])
      await show(null)
      await forgotten()
      expect(await sent()).toEqual(['phx_join', 'track', 'phx_leave'])
      expect(complaints).toEqual([])
    })

    test('the provider disconnects a client of its own', async () => {
      await show({ owned: true, chats: [{ id: 'a' }] })
      await joined('a')
      expect(await page.evaluate('sockets.length')).toBe(1)
      await page.evaluate(() => globalThis.page.unmount())
      await page.waitForFunction('sockets[0].readyState === WebSocket.CLOSED')
      expect((await sent()).filter((event) => event === 'phx_join')).toHaveLength(1)
      expect(await page.evaluate('sockets.length')).toBe(1)
    })

    test('to come back at once costs no frame', async () => {
      const scene = { topic, name: 'Ada', tables: ['todos'], chats: [{ id: 'a' }] }
      await show(scene)
      await joined('a')
      await expect.poll(people, soon).toEqual(['Ada'])
      await page.evaluate((given) => globalThis.page.showAll([null, given, null, given, { ...given, isKeyed: 'again' }]), scene)
      await page.evaluate(async (given) => {
        globalThis.page.showAll([null])
        await new Promise((resolve) => setTimeout(resolve, 0))
        globalThis.page.showAll([given])
      }, scene)
      // What is said goes after all that the remounts might have sent.
      expect(await page.evaluate(() => globalThis.page.say('a', 'here'))).toBe('ok')
      await expect.poll(() => text('heard-a'), soon).toBe('here')
      expect(await sent()).toEqual(['phx_join', 'track', 'broadcast'])
      expect(await people()).toEqual(['Ada'])
    })

    test('two components share a channel, and one that goes takes nothing from the other', async () => {
      await show({ chats: [{ id: 'a' }, { id: 'b' }] })
      await joined('a')
      await joined('b')
      await show({ chats: [{ id: 'b' }] })
      await page.locator('#heard-a').waitFor({ state: 'detached' })
      expect(await page.evaluate(() => globalThis.page.say('b', 'still here'))).toBe('ok')
      await expect.poll(() => text('heard-b'), soon).toBe('still here')
      expect(await sent()).toEqual(['phx_join', 'broadcast'])
    })

    test('handlers may be others at each render; what is sent with stays', async () => {
      await show({ chats: [{ id: 'a', mark: '0-' }] })
      await joined('a')
      for (const mark of ['1-', '2-', '3-']) await show({ chats: [{ id: 'a', mark }] })
      await page.evaluate(() => globalThis.page.say('a', 'x'))
      await expect.poll(() => text('heard-a'), soon).toBe('3-x')
      expect(await sent()).toEqual(['phx_join', 'broadcast'])
      expect(await page.evaluate(() => globalThis.page.sends.size)).toBe(1)
    })

    test('what is said before the join waits for it', async () => {
      const response = await page.evaluate(
        (given) => {
          globalThis.page.showAll([given])
          return globalThis.page.say('a', 'early')
        },
        { topic, chats: [{ id: 'a' }] },
      )
      expect(response).toBe('ok')
      await expect.poll(() => text('heard-a'), soon).toBe('early')
      expect(await sent()).toEqual(['phx_join', 'broadcast'])
    })

    test('lists who is here', async () => {
      await show({ name: 'Ada', chats: [{ id: 'a' }] })
      await expect.poll(people, soon).toEqual(['Ada'])
      const room = other.channel<object, Meta>(topic)
      room.onPresenceSync(() => {})
      await room.ready()
      await room.track({ name: 'Ben' })
      await expect.poll(people, soon).toEqual(['Ada', 'Ben'])

      const lists = await page.evaluate(() => globalThis.page.lists.size)
      await show({ name: 'not read again', chats: [{ id: 'a', mark: 'rendered' }] })
      expect(await page.evaluate(() => globalThis.page.lists.size)).toBe(lists)

      expect(await page.evaluate(() => globalThis.page.track({ name: 'Ada L.' }))).toBe('ok')
      await expect.poll(people, soon).toEqual(['Ada L.', 'Ben'])
      expect(await page.evaluate(() => globalThis.page.untrack())).toBe('ok')
      await expect.poll(people, soon).toEqual(['Ben'])
      expect(await page.evaluate(() => globalThis.page.track({ name: 'Ada' }))).toBe('ok')

      // The chat keeps the channel; the component that tracked is gone.
      const names = (): string[] => Object.values(room.presenceState()).flatMap((presences) => presences.map(({ name }) => name))
      await expect.poll(names, soon).toEqual(expect.arrayContaining(['Ada', 'Ben']))
      await show({ chats: [{ id: 'a' }] })
      await expect.poll(names, soon).toEqual(['Ben'])
      expect((await sent()).filter((event) => event.startsWith('phx'))).toEqual(['phx_join'])
      await room.unsubscribe()
    })

    test('says that a table is refused, and why, though the channel is joined; broadcasts go on', async () => {
      const warnings: string[] = []
      page.on('console', (message) => message.type() === 'warning' && warnings.push(message.text()))
      await show({ tables: ['nope'], chats: [{ id: 'a' }] })
      await expect.poll(() => text('state-a'), soon).toBe('joined: missing-table')
      expect(warnings).toEqual([`realtime:${topic}: There is no table public.nope (missing-table)`])
      expect(await page.evaluate(() => globalThis.page.say('a', 'hello'))).toBe('ok')
      expect(node.decisions.at(-1)).toMatchObject({ kind: 'changes-refused', code: 'missing-table' })
    })

    test('hears changes; a listener that comes late joins again and says that there was a gap', async () => {
      await show({ tables: ['todos'], chats: [{ id: 'a' }] })
      await joined('a')
      feed.insert('todos', 'one')
      await expect.poll(() => text('rows-todos'), soon).toBe('one')
      await show({ tables: ['todos', 'notes'], chats: [{ id: 'a' }] })
      await expect.poll(sent, soon).toEqual(['phx_join', 'phx_leave', 'phx_join'])
      await joined('a')
      expect(await page.evaluate(() => globalThis.page.gaps)).toEqual([{ recovered: false, reason: 'late-listener' }])
      feed.insert('notes', 'two')
      feed.insert('todos', 'three')
      await expect.poll(() => text('rows-notes'), soon).toBe('two')
      await expect.poll(() => text('rows-todos'), soon).toBe('one three')
      // One that goes is not worth a join.
      await show({ tables: ['notes'], chats: [{ id: 'a' }] })
      feed.insert('notes', 'four')
      await expect.poll(() => text('rows-notes'), soon).toBe('two four')
      await show({ tables: ['notes', 'todos'], chats: [{ id: 'a' }] })
      await page.locator('#rows-todos').waitFor({ state: 'attached' })
      feed.insert('todos', 'five')
      await expect.poll(() => text('rows-todos'), soon).toBe('five')
      expect(await sent()).toEqual(['phx_join', 'phx_leave', 'phx_join'])
    })

    test('a handler that throws affects no other', async () => {
      await show({ chats: [{ id: 'a', throws: true }, { id: 'b' }] })
      await joined('b')
      await page.evaluate(() => globalThis.page.say('a', 'one'))
      await expect.poll(() => text('heard-b'), soon).toBe('one')
      await page.evaluate(() => globalThis.page.say('a', 'two'))
      await expect.poll(() => text('heard-b'), soon).toBe('one two')
      expect(await text('heard-a')).toBe('one two')
      expect(await page.locator('#failed').count()).toBe(0)
      expect(complaints.filter((complaint) => complaint.includes('a handler that throws'))).toHaveLength(2)
    })

    test('comes back after a cut: channel, presence, and word of the gap', async () => {
      await show({ name: 'Ada', chats: [{ id: 'a' }] })
      await joined('a')
      await expect.poll(people, soon).toEqual(['Ada'])
      expect(await text('connection')).toBe('connected')
      const seen = page.evaluate(() => {
        const states: string[] = []
        const element = document.getElementById('connection')!
        new MutationObserver(() => states.push(element.innerText)).observe(element, { characterData: true, childList: true, subtree: true })
        sockets[0]!.close()
        return new Promise<string[]>((resolve) => {
          const timer = setInterval(() => {
            if (states.at(-1) !== 'connected') return
            clearInterval(timer)
            resolve(states)
          }, 10)
        })
      })
      expect(await seen).toEqual(['waiting', 'connecting', 'connected'])
      await joined('a')
      await expect.poll(sent, soon).toEqual(['phx_join', 'track', 'phx_join', 'track'])
      await expect.poll(people, soon).toEqual(['Ada'])
      expect(await page.evaluate(() => globalThis.page.gaps)).toEqual([{ recovered: false, reason: 'no-history' }])
    })

    test('other options for the same topic are refused by name, until the topic is free', async () => {
      await show({ chats: [{ id: 'a' }, { id: 'b', ack: true }] })
      await joined('a')
      expect(await text('state-b')).toBe('errored: already-joined')
      expect(await page.evaluate(() => globalThis.page.say('b', 'x').catch((error: { code: string }) => error.code))).toBe('already-joined')
      await show({ chats: [{ id: 'b', ack: true }] })
      await joined('b')
      expect(await sent()).toEqual(['phx_join', 'phx_leave', 'phx_join'])
      // One component that changes its mind.
      await show({ chats: [{ id: 'b', ack: false }] })
      await expect.poll(() => page.evaluate('joins.map(({ broadcast }) => broadcast.ack)'), soon).toEqual([false, true, false])
      await joined('b')
    })

    test('another topic is another channel', async () => {
      await show({ name: 'Ada', chats: [{ id: 'a' }] })
      await expect.poll(people, soon).toEqual(['Ada'])
      await show({ topic: `${topic}-next`, name: 'Ada', chats: [{ id: 'a' }] })
      await expect.poll(async () => (await sent()).length, soon).toBe(5)
      const [first, second, ...others] = await sent()
      // The old topic is left and the new one answers when they can: neither waits for the other.
      expect([first, second, others.toSorted()]).toEqual(['phx_join', 'track', ['phx_join', 'phx_leave', 'track']])
      await expect.poll(people, soon).toEqual(['Ada'])
    })

    test('a page from the server is taken over without a complaint', async () => {
      const made = await page.evaluate((given) => globalThis.page.hydrate(given), {
        topic,
        name: 'Ada',
        tables: ['todos'],
        chats: [{ id: 'a' }],
      })
      expect(made.sockets).toBe(0)
      expect(made.html).toContain('closed')
      expect(made.html).toContain('disconnected')
      await joined('a')
      await expect.poll(people, soon).toEqual(['Ada'])
      expect(await sent()).toEqual(['phx_join', 'track'])
      expect(complaints).toEqual([])
    })
  }
  for (const { major, modules } of versions)
    describe.skipIf(modules === undefined)(`React ${major}`, () => {
      suite(major)
    })
})

/** The page with the React of that folder, in development mode: StrictMode does nothing else in production. */
async function bundle(modules: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [pathOf('../test/page.tsx')],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"development"' },
    alias: {
      '@tidewire/client': pathOf('../../client/src/index.ts'),
      '@tidewire/protocol': pathOf('../../protocol/src/index.ts'),
      react: join(modules, 'react'),
      'react-dom': join(modules, 'react-dom'),
    },
    plugins: [
      {
        name: 'browser-field',
        setup: (bundler) =>
          bundler.onResolve({ filter: /node-websocket\.ts$/ }, () => ({ path: pathOf('../../client/src/io/web-websocket.ts') })),
      },
    ],
  })
  return outputFiles[0]!.text
}
