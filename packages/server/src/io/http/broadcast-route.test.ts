import { expect, test } from 'vitest'
import { broadcastRoute } from './broadcast-route.ts'

test.each(['/api/broadcast', '/realtime/v1/api/broadcast', '/api/broadcast?x=1', 'http://host:1/api/broadcast'])(
  '%s is a batch',
  (target) => {
    expect(broadcastRoute(target)).toEqual({ kind: 'batch' })
  },
)

test.each([
  ['/api/broadcast/a/events/b', 'a', 'b', ''],
  ['/realtime/v1/api/broadcast/room%3A1/events/%F0%9F%91%8B?private=true', 'room:1', '👋', 'private=true'],
  ['https://host/api/broadcast/a%2Fb/events/100%', 'a/b', '100%', ''],
  ['/api/broadcast/events/events/events', 'events', 'events', ''],
])('%s is one message', (target, subTopic, event, query) => {
  const route = broadcastRoute(target)
  expect(route).toMatchObject({ kind: 'single', subTopic, event })
  expect(route?.kind === 'single' ? route.query.toString() : null).toBe(query)
})

test.each([
  '/api/broadcast/',
  '/api/broadcast/a',
  '/api/broadcast/a/events/',
  '/api/broadcast//events/b',
  '/api/broadcast/a/events/b/',
  '/api/broadcasts',
  '/v1/api/broadcast',
  '/api/ping',
  '',
  '*',
])('%j is another path', (target) => {
  expect(broadcastRoute(target)).toBeNull()
})
