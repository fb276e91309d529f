import type { AdminLogRow } from '@tidewire/protocol'
import { describe, expect, test } from 'vitest'
import { whyUnheard } from './unheard.ts'

const row = (given: Partial<AdminLogRow>): AdminLogRow => ({
  id: 1,
  at: 0,
  kind: 'broadcast',
  topic: 'room',
  private: false,
  receivers: 0,
  ...given,
})

describe('messages without receivers', () => {
  test('over HTTP or from SQL: the topic had no members', () => {
    expect(whyUnheard(row({}), 0)).toBe('Not delivered: no client was in this public topic.')
    expect(whyUnheard(row({ private: true }), 0)).toBe('Not delivered: no client was in this private topic.')
  })

  test('from a socket: its sender may have been there', () => {
    expect(whyUnheard(row({ connection: 'c1' }), 0)).toBe('Not delivered: no other client was in this public topic.')
  })

  test('the members are in the other topic of that name', () => {
    expect(whyUnheard(row({}), 1)).toMatch(/public topic\. The private topic of the same name is another one; it has 1 member\.$/)
    expect(whyUnheard(row({ private: true }), 2)).toMatch(/private topic\. The public topic .* has 2 members\.$/)
  })

  test('a row change', () => {
    expect(whyUnheard(row({ kind: 'change' }), 0)).toMatch(/no channel subscribed/)
  })

  test.each<Partial<AdminLogRow>>([{ receivers: 1 }, { kind: 'presence' }])('says nothing of %o', (given) => {
    expect(whyUnheard(row(given), 3)).toBeNull()
  })

  test('says nothing of what has no receivers', () => {
    expect(whyUnheard({ id: 1, at: 0, kind: 'join', topic: 'room' }, 3)).toBeNull()
  })
})
