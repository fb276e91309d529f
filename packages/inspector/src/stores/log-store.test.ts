import type { AdminLogRow } from '@tidewire/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LogStore, type LogEntry } from './log-store.ts'

let nextId = 0
function rows(many: number, kind: AdminLogRow['kind'] = 'broadcast'): AdminLogRow[] {
  return Array.from({ length: many }, () => ({ id: ++nextId, at: 0, kind, topic: 'room' }))
}

const textOf = (entry: LogEntry): string => entry.missing ?? entry.row.kind
const shown = (log: LogStore): string[] => log.shown.value.entries.map(textOf)

describe('the log', () => {
  test('holds rows in the order they came, and says what was skipped', () => {
    const log = new LogStore()
    log.append({ rows: [...rows(1), ...rows(1, 'change')], skipped: 0 })
    log.append({ rows: rows(1, 'join'), skipped: 1_234_567 })
    expect(shown(log)).toEqual(['broadcast', 'change', 'join', '1,234,567 more happened than is shown'])
    expect(log.total.value).toBe(4)
  })

  test('filters what is there and what comes; gaps are always shown', () => {
    const log = new LogStore()
    log.append({ rows: [...rows(2), ...rows(1, 'change')], skipped: 3 })
    log.setFilter('kind:change')
    log.append({ rows: [...rows(5), ...rows(1, 'change')], skipped: 0 })
    log.mark('gone')
    expect(shown(log)).toEqual(['change', '3 more happened than is shown', 'change', 'gone'])
    log.setFilter('')
    expect(log.shown.value.entries).toHaveLength(11)
  })

  test('what comes while it is paused is shown when it goes on', () => {
    const log = new LogStore()
    log.append({ rows: rows(2), skipped: 0 })
    log.pause(true)
    log.append({ rows: rows(3, 'change'), skipped: 1 })
    expect(log.shown.value.entries).toHaveLength(2)
    expect(log.waiting.value).toBe(4)
    log.pause(false)
    expect(log.shown.value.entries).toHaveLength(6)
    expect(log.waiting.value).toBe(0)
  })

  test('is emptied, with what waits', () => {
    const log = new LogStore()
    log.append({ rows: rows(2), skipped: 0 })
    log.pause(true)
    log.append({ rows: rows(2), skipped: 0 })
    log.clear()
    log.pause(false)
    expect([log.shown.value.entries.length, log.total.value, log.waiting.value]).toEqual([0, 0, 0])
  })

  test('notifies once of each change, also when nothing passes the filter', () => {
    const log = new LogStore()
    log.setFilter('nothing')
    let notified = -1
    const stop = log.total.subscribe(() => notified++)
    log.append({ rows: rows(100), skipped: 0 })
    expect(notified).toBe(1)
    stop()
  })

  test('keeps ten thousand, and counts what left at the front, under any order of events', () => {
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ type: fc.constant('append' as const), many: fc.integer({ min: 0, max: 4_000 }) }) },
      fc.record({ type: fc.constant('pause' as const), isPaused: fc.boolean() }),
      fc.record({ type: fc.constant('filter' as const), text: fc.constantFrom('', 'kind:change', 'kind:none') }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 14 }), (steps) => {
        const log = new LogStore()
        let last = -1
        for (const each of steps) {
          if (each.type === 'append') log.append({ rows: [...rows(each.many), ...rows(each.many % 7, 'change')], skipped: 0 })
          else if (each.type === 'pause') log.pause(each.isPaused)
          else log.setFilter(each.text)
          const { entries } = log.shown.value
          expect(entries.length).toBeLessThanOrEqual(11_000)
          expect(log.total.value).toBeLessThanOrEqual(11_000)
          const keys = entries.map(({ key }) => key)
          expect(keys.every((key, index) => index === 0 || key > keys[index - 1]!)).toBe(true)
          expect(log.shown.value.gone).toBeGreaterThanOrEqual(Math.max(0, last))
          last = log.shown.value.gone
        }
      }),
      { numRuns: 30 },
    )
  })
})
