/** The demos in real browsers, on one server and one database: nothing of one is in the way of the other. */
import { chromiumPath } from '@tidewire/testkit'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DemoServer, pathOf, type RunningDemo } from './app/running-demo.ts'

const soon = { timeout: 20_000 }

describe.skipIf(chromiumPath() === undefined)('the demos', () => {
  let server: DemoServer
  beforeAll(async () => {
    server = await DemoServer.start()
  })
  afterAll(() => server?.stop())

  describe('the chat', () => {
    let demo: RunningDemo
    beforeAll(async () => {
      demo = await server.open('chat')
    })
    afterAll(() => demo.stop())

    const live = (page: Page): Promise<void> => page.locator('#composer input:enabled').waitFor(soon)
    const said = (page: Page): Promise<string[]> => page.locator('#messages li:not([hidden]) p').allTextContents()
    const say = async (page: Page, text: string): Promise<void> => {
      await page.locator('#composer input').fill(text)
      await page.locator('#composer input').press('Enter')
    }

    test('what is said arrives live, is history for those that come later, and hearts are replayed', async () => {
      const ada = await demo.visit('ada')
      await live(ada)
      const ben = await demo.visit('ben', { colorScheme: 'dark', width: 390 })
      await live(ben)
      await expect.poll(() => ada.locator('#people li').allTextContents(), soon).toEqual(['ada', 'ben'])

      await say(ada, 'The tide turns at six.')
      await expect.poll(() => said(ben), soon).toEqual(['The tide turns at six.'])
      await ben.locator('#composer input').pressSequentially('I am')
      await expect.poll(() => ada.locator('#typing').textContent(), soon).toBe('ben is typing …')
      await say(ben, 'I am on the quay. <b>No HTML</b> here.')
      await demo.sql("insert into chat_messages (room, author, body) values ('lobby', 'harbour master', 'Typed in a terminal.')")
      const all = ['The tide turns at six.', 'I am on the quay. <b>No HTML</b> here.', 'Typed in a terminal.']
      await expect.poll(() => said(ada), soon).toEqual(all)

      await ben.locator('li', { hasText: 'The tide' }).locator('button').click()
      await expect.poll(() => ada.locator('li', { hasText: 'The tide' }).locator('button').textContent(), soon).toBe('♥ 1')

      const eve = await demo.visit('eve')
      await live(eve)
      await expect.poll(() => said(eve), soon).toEqual(all)
      await expect.poll(() => eve.locator('li', { hasText: 'The tide' }).locator('button').textContent(), soon).toBe('♥ 1')
      await ada.screenshot({ path: pathOf('test-results/chat-light.png') })
      await ben.screenshot({ path: pathOf('test-results/chat-dark-phone.png') })
      for (const page of [ada, ben, eve]) await page.context().close()
      expect(demo.complaints).toEqual([])
    })

    test('a room with members refuses others, and what is said there does not reach them', async () => {
      const query = '?room=harbour'
      const ada = await demo.visit('ada', { query })
      await live(ada)
      const eve = await demo.visit('eve', { query })
      await eve.locator('#refused', { hasText: 'eve is no member of harbour' }).waitFor(soon)
      await say(ada, 'Only for the crew.')
      await expect.poll(() => said(ada), soon).toEqual(['Only for the crew.'])
      expect(await said(eve)).toEqual([])
      await eve.screenshot({ path: pathOf('test-results/chat-refused.png') })
      for (const page of [ada, eve]) await page.context().close()
      expect(demo.complaints).toEqual([])
    })
  })

  describe('the board', () => {
    let demo: RunningDemo
    beforeAll(async () => {
      demo = await server.open('board')
    })
    afterAll(() => demo.stop())

    const live = (page: Page): Promise<void> => page.locator('[role=status][data-state=joined]').waitFor(soon)
    const cardsIn = (page: Page, lane: string): Promise<string[]> =>
      page.locator(`section[aria-label="${lane}"] article p`).allTextContents()
    const add = async (page: Page, title: string): Promise<void> => {
      await page.getByLabel('New card').fill(title)
      await page.getByRole('button', { name: 'Add' }).click()
    }
    const press = (page: Page, title: string, button: string): Promise<void> =>
      page.locator(`[data-card="${title}"]`).getByRole('button', { name: button }).click()

    test('two users see own and shared cards, live, and nothing else', async () => {
      const ada = await demo.visit('ada')
      await live(ada)
      const ben = await demo.visit('ben', { colorScheme: 'dark', width: 390 })
      await live(ben)
      await expect.poll(() => ada.getByRole('list').locator('li').allTextContents(), soon).toEqual(['ada', 'ben'])

      await add(ada, 'Buy a surprise for Ben')
      await add(ada, 'Paint the boat')
      await add(ben, 'Mend the net')
      await expect.poll(() => cardsIn(ada, 'To do'), soon).toEqual(['Buy a surprise for Ben', 'Paint the boat'])
      await expect.poll(() => cardsIn(ben, 'To do'), soon).toEqual(['Mend the net'])

      await press(ada, 'Paint the boat', 'Share')
      await expect.poll(() => cardsIn(ben, 'To do'), soon).toEqual(['Paint the boat', 'Mend the net'])
      await press(ben, 'Paint the boat', 'Move right')
      await expect.poll(() => cardsIn(ada, 'Doing'), soon).toEqual(['Paint the boat'])
      // The change before the next one that Ben may see was never for him.
      await press(ada, 'Buy a surprise for Ben', 'Move right')
      await press(ada, 'Paint the boat', 'Move right')
      await expect.poll(() => cardsIn(ben, 'Done'), soon).toEqual(['Paint the boat'])
      expect(await ben.locator('article').allTextContents()).not.toContainEqual(expect.stringContaining('surprise'))

      const again = await demo.visit('ben')
      await live(again)
      await expect.poll(() => again.locator('article p').allTextContents(), soon).toEqual(['Mend the net', 'Paint the boat'])
      await ada.screenshot({ path: pathOf('test-results/board-light.png') })
      await ben.screenshot({ path: pathOf('test-results/board-dark-phone.png') })
      expect(demo.complaints).toEqual([])
    })
  })
})
