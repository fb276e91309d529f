import { describe, expect, it } from 'vitest'
import { joinPayload, joinTimeoutMs } from './join.ts'
import { Listeners } from '../listen/listeners.ts'

function listening(...types: readonly string[]): Listeners {
  const listeners = new Listeners(() => {})
  for (const type of types) listeners.add({ type, filter: { event: '*', schema: 'public' }, callback: () => {} })
  return listeners
}

describe('what a join says', () => {
  it('asks for positions where there are Postgres changes, and goes on from the last one', () => {
    const options = { postgres_changes_options: { wait: true } }
    expect(joinPayload(options, listening(), null, '7/1/0')).toMatchObject({ config: { postgres_changes_options: { wait: true } } })
    expect(joinPayload(options, listening('postgres_changes'), null, '7/1/0')).toMatchObject({
      config: { postgres_changes_options: { wait: true, positions: true, since: '7/1/0' } },
    })
  })

  it('asks for presence where there is a listener for it', () => {
    expect(joinPayload({}, listening(), null, null)).toMatchObject({ config: { presence: { enabled: false } } })
    expect(joinPayload({}, listening('presence'), null, null)).toMatchObject({ config: { presence: { enabled: true } } })
  })

  it('brings the token, if there is one', () => {
    expect(joinPayload({}, listening(), null, null)).not.toHaveProperty('access_token')
    expect(joinPayload({}, listening(), 'a token', null)).toHaveProperty('access_token', 'a token')
  })
})

describe('how long the reply may take', () => {
  it('is the given time where the server does not wait for the changes', () => {
    expect(joinTimeoutMs({}, true, 10_000)).toBe(10_000)
    expect(joinTimeoutMs({ postgres_changes_options: { wait: true } }, false, 10_000)).toBe(10_000)
    expect(joinTimeoutMs({ postgres_changes_options: { wait: false, timeout: 60_000 } }, true, 10_000)).toBe(10_000)
  })

  it('is no less than what such a server may take', () => {
    expect(joinTimeoutMs({ postgres_changes_options: { wait: true } }, true, 10_000)).toBe(25_000)
    expect(joinTimeoutMs({ postgres_changes_options: { wait: true, timeout: 2_000 } }, true, 10_000)).toBe(12_000)
    expect(joinTimeoutMs({ postgres_changes_options: { wait: true } }, true, 40_000)).toBe(40_000)
  })
})
