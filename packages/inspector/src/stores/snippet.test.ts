import type { AdminLogRow } from '@tidewire/protocol'
import fc from 'fast-check'
import { parseAst } from 'vitest/node'
import { describe, expect, test } from 'vitest'
import { snippet } from './snippet.ts'

const url = 'http://127.0.0.1:4000/realtime/v1'
const base = { id: 1, at: 0 } as const

/** Throws on what is not TypeScript. */
function parse(code: string): void {
  // oxlint-disable-next-line typescript/no-deprecated
  parseAst(code, { lang: 'ts' }, 'snippet.ts')
}

describe('copy as code', () => {
  test('a broadcast: receives it and sends it, as the application sees it', () => {
    const payload = '{"type":"broadcast","event":"move","payload":{"x":1}}'
    const code = snippet({ ...base, kind: 'broadcast', topic: 'room', event: 'move', payload }, url)
    expect(code).toContain("client.channel('room')")
    expect(code).toContain("channel.onBroadcast('move'")
    expect(code).toContain(`sendBroadcast('move', {"x":1})`)
    parse(code)
  })

  test('a private topic, a presence, a change, a join', () => {
    const presence = snippet({ ...base, kind: 'presence', topic: 'room', private: true, event: 'track', payload: '{"name":"Ada"}' }, url)
    expect(presence).toContain("client.channel('room', { config: { private: true } })")
    expect(presence).toContain('channel.track({"name":"Ada"})')
    const change = snippet({ ...base, kind: 'change', event: 'INSERT', detail: 'public.todos' }, url)
    expect(change).toContain("onPostgresChanges('INSERT', { schema: 'public', table: 'todos' }")
    const join = snippet({ ...base, kind: 'join', topic: 'room' }, url)
    for (const code of [presence, change, join]) parse(code)
  })

  test('a payload that was cut is left for the reader', () => {
    expect(snippet({ ...base, kind: 'broadcast', topic: 'a', event: 'b', payload: '{"x":', truncated: 9_000 }, url)).toContain(
      '{ /* … */ }',
    )
  })

  test('is code and nothing but this code, whatever names and payloads hold', () => {
    const hostile = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom("');alert(1)//", '\\', "\\'", '</script>', '\u2028', '`${x}`'))
    const kind = fc.constantFrom<AdminLogRow['kind']>('broadcast', 'presence', 'change', 'join', 'decision')
    fc.assert(
      fc.property(kind, hostile, hostile, hostile, (kind, topic, event, value) => {
        const code = snippet({ ...base, kind, topic, event, detail: value, payload: JSON.stringify({ [value]: value }) }, url)
        parse(code)
        expect(code.trimEnd().split('\n').length).toBeLessThanOrEqual(9)
        // oxlint-disable-next-line no-control-regex
        expect(code.replace('…', '')).not.toMatch(/[^\u0000-\u007e]/)
      }),
    )
  })
})
