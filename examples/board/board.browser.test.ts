import { chromiumPath } from '@tidewire/testkit'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pathOf, RunningDemo } from '../app/running-demo.ts'

const soon = { timeout: 20_000 }

describe.skipIf(chromiumPath() === undefined)('the board', () => {
  let demo: RunningDemo
  beforeAll(async () => {
    demo = await RunningDemo.start('board')
  })
  afterAll(() => demo?.stop())

  const live = (page: Page): Promise<void> => page.locator('[role=status][data-state=joined]').waitFor(soon)
  const cardsIn = (page: Page, lane: string): Promise<string[]> => page.locator(`section[aria-label="${lane}"] article p`).allTextContents()
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
