import { afterEach, expect, test, vi } from 'vitest'
import { watchPageLifecycle } from './page-lifecycle.ts'

class Target extends EventTarget {
  visibilityState = 'visible'
  count = 0
  override addEventListener(...args: Parameters<EventTarget['addEventListener']>): void {
    this.count++
    super.addEventListener(...args)
  }
  override removeEventListener(...args: Parameters<EventTarget['removeEventListener']>): void {
    this.count--
    super.removeEventListener(...args)
  }
}

afterEach(() => vi.unstubAllGlobals())

test('a page that is seen, comes back or goes online wakes; one that is put aside freezes; nothing stays behind', () => {
  const [page, document] = [new Target(), new Target()]
  vi.stubGlobal('document', document)
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page))
  vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page))
  const heard: string[] = []
  const stop = watchPageLifecycle((what) => heard.push(what))
  for (const type of ['online', 'offline', 'pageshow']) page.dispatchEvent(new Event(type))
  document.dispatchEvent(new Event('visibilitychange'))
  document.visibilityState = 'hidden'
  document.dispatchEvent(new Event('visibilitychange'))
  page.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }))
  page.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }))
  expect(heard).toEqual(['wake', 'wake', 'wake', 'wake', 'freeze'])
  stop()
  expect([page.count, document.count]).toEqual([0, 0])
})

test('where there is no page there is nothing to watch', () => {
  watchPageLifecycle(() => {})()
})
