import type { AdminLogRow } from '@tidewire/protocol'
import { describe, expect, test } from 'vitest'
import { parseFilter } from './log-filter.ts'

const row: AdminLogRow = {
  id: 1,
  at: 0,
  kind: 'change',
  topic: 'Room:1',
  event: 'INSERT',
  connection: 'c1a',
  payload: '{"title":"Buy milk"}',
  detail: 'public.todos',
}

describe('the filter box', () => {
  test.each([
    ['', true],
    ['   ', true],
    ['insert', true],
    ['insert todos', true],
    ['insert nowhere', false],
    ['kind:change', true],
    ['kind:broadcast', false],
    ['topic:room', true],
    ['topic:insert', false],
    ['room:1', true],
    ['payload:"buy milk"', true],
    ['"buy milk"', true],
    ['"milk buy"', false],
    ['-presence', true],
    ['-kind:change', false],
    ['from:c1a why:todos event:insert', true],
    ['payload:(.*', false],
    ['kind:', true],
    ['-', true],
    ['"unclosed', false],
  ])('%s', (text, expected) => {
    expect(parseFilter(text)(row)).toBe(expected)
  })

  test('what patterns are made of is looked for as it stands', () => {
    const text = 'a$(b)*c+d./e?[f\\]^{g|h}-i'
    for (const part of [text, ...text.split('')]) {
      if (part === '-') continue
      expect(parseFilter(`payload:${part}`)({ ...row, payload: text })).toBe(true)
      expect(parseFilter(`payload:${part}`)({ ...row, payload: '\u0000' })).toBe(false)
    }
  })

  test('a field that a row does not have is not found in it', () => {
    expect(parseFilter('from:c')({ id: 1, at: 0, kind: 'connect' })).toBe(false)
    expect(parseFilter('-from:c')({ id: 1, at: 0, kind: 'connect' })).toBe(true)
  })
})
