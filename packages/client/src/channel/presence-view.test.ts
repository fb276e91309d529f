import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PresenceView } from './presence-view.ts'

const metas = (...refs: string[]): object => ({ metas: refs.map((phx_ref) => ({ phx_ref, at: phx_ref })) })
const seen = (...refs: string[]): object[] => refs.map((ref) => ({ presence_ref: ref, at: ref }))

test('a state, then a diff: all joins, then all leaves, then one sync', () => {
  const view = new PresenceView()
  expect(view.applyState({ a: metas('1', '2') })).toEqual([
    { event: 'join', key: 'a', currentPresences: [], newPresences: seen('1', '2') },
    { event: 'sync' },
  ])
  expect(view.applyDiff({ joins: { a: metas('3'), b: metas('b1') }, leaves: { a: metas('1'), q: metas('?') } })).toEqual([
    { event: 'join', key: 'a', currentPresences: seen('1', '2'), newPresences: seen('3') },
    { event: 'join', key: 'b', currentPresences: [], newPresences: seen('b1') },
    { event: 'leave', key: 'a', currentPresences: seen('2', '3'), leftPresences: seen('1') },
    { event: 'sync' },
  ])
  expect(view.snapshot()).toEqual({ a: seen('2', '3'), b: seen('b1') })
  expect(view.applyState({ a: metas('3', '4'), c: metas('c') })).toEqual([
    { event: 'join', key: 'a', currentPresences: seen('2', '3'), newPresences: seen('4') },
    { event: 'join', key: 'c', currentPresences: [], newPresences: seen('c') },
    { event: 'leave', key: 'b', currentPresences: [], leftPresences: seen('b1') },
    { event: 'leave', key: 'a', currentPresences: seen('3', '4'), leftPresences: seen('2') },
    { event: 'sync' },
  ])
})

test('an update is a join that names the leave of the same message', () => {
  const view = new PresenceView()
  view.applyState({ a: metas('1', '2') })
  const joins = { a: { metas: [{ phx_ref: '3', phx_ref_prev: '1', at: '3' }] } }
  const last = (events: readonly object[]): unknown => events.at(-2)
  expect(last(view.applyDiff({ joins, leaves: { a: metas('1', '2') } }))).toEqual({
    event: 'update',
    key: 'a',
    previousPresences: seen('1'),
    newPresences: seen('3'),
  })
})

test('the snapshot is one object until something changes', () => {
  const view = new PresenceView()
  view.applyState({ a: metas('1') })
  const before = view.snapshot()
  expect(view.snapshot()).toBe(before)
  view.applyDiff({ joins: { b: metas('2') }, leaves: {} })
  expect(view.snapshot()).not.toBe(before)
  expect(before).toEqual({ a: seen('1') })
})

test('diffs before the first state of a join wait for it', () => {
  const view = new PresenceView()
  expect(view.applyDiff({ joins: { z: metas('z') }, leaves: {} })).toEqual([])
  expect(view.snapshot()).toEqual({})
  expect(view.applyState({ a: metas('1') }).map((event) => ('key' in event ? event.key : 'sync'))).toEqual(['a', 'z', 'sync'])
  view.restart()
  expect(view.applyDiff({ joins: {}, leaves: { a: metas('1') } })).toEqual([])
  expect(view.snapshot()).toEqual({ a: seen('1'), z: seen('z') })
})

test('keys that are names of object members are keys like any other', () => {
  const view = new PresenceView()
  view.applyState(JSON.parse('{"__proto__":{"metas":[{"phx_ref":"1"}]},"constructor":{"metas":[{"phx_ref":"2"}]}}'))
  expect(Object.keys(view.snapshot()).sort()).toEqual(['__proto__', 'constructor'])
  expect(Object.getPrototypeOf(view.snapshot())).toBeNull()
  expect(({} as { metas?: unknown }).metas).toBeUndefined()
})

test('anything may come from a server', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.jsonValue())), (messages) => {
      const view = new PresenceView()
      for (const [isState, payload] of messages) {
        if (isState) view.applyState(payload)
        else view.applyDiff(payload)
      }
      view.snapshot()
    }),
  )
})

test('random joins and leaves end in what a plain list of references says', () => {
  const step = fc.record({ key: fc.constantFrom('a', 'b', 'c'), ref: fc.nat(5), joins: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const view = new PresenceView()
      const model = new Set<string>()
      view.applyState({})
      for (const { key, ref, joins } of steps) {
        const id = `${key}${ref}`
        view.applyDiff(joins ? { joins: { [key]: metas(id) }, leaves: {} } : { joins: {}, leaves: { [key]: metas(id) } })
        if (joins) model.add(id)
        else model.delete(id)
      }
      const refs = Object.values(view.snapshot()).flatMap((list) => list.map((presence) => presence.presence_ref))
      expect(refs.sort()).toEqual([...model].sort())
    }),
  )
})
