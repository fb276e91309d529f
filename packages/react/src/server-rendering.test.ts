import { RealtimeClient } from '@tidewire/client'
import { createElement, type ReactElement } from 'react'
import { renderToString } from 'react-dom/server'
import { describe, expect, test } from 'vitest'
import {
  RealtimeProvider,
  useBroadcast,
  useChannel,
  useChannelStatus,
  useConnection,
  useGap,
  usePostgresChanges,
  usePresence,
  useRealtime,
} from './index.ts'

const unexpected = (): never => {
  throw new Error('not on a server')
}

function Room(): ReactElement {
  const channel = useChannel<{ say: string }, { name: string }>('room')
  useBroadcast(channel, 'say', unexpected)
  usePostgresChanges(channel, '*', { schema: 'public', table: 'todos' }, unexpected)
  useGap(channel, unexpected)
  const { members } = usePresence(channel, { initial: { name: 'Ada' } })
  return createElement('p', null, `${useChannelStatus(channel).state}, ${useConnection().status}, ${members.length} here`)
}

const options = { apikey: 'key', transport: unexpected as never, accessToken: unexpected }

describe('on a server', () => {
  test('renders what is known without a connection: nothing is opened, joined or asked for', () => {
    const client = new RealtimeClient('ws://127.0.0.1:1', options)
    const html = renderToString(createElement(RealtimeProvider, { client }, createElement(Room)))
    expect(html).toBe('<p>closed, disconnected, 0 here</p>')
    expect(client.getChannels()).toEqual([])
    expect(client.connectionState()).toBe('closed')
  })

  test('so does a provider that makes its client', () => {
    const html = renderToString(createElement(RealtimeProvider, { url: 'ws://127.0.0.1:1', options }, createElement(Room)))
    expect(html).toBe('<p>closed, disconnected, 0 here</p>')
  })

  test('a hook without a provider says so', () => {
    const Lost = (): string => useRealtime().endPoint
    expect(() => renderToString(createElement(Lost))).toThrow(
      expect.objectContaining({ code: 'bad-argument', message: 'There is no <RealtimeProvider> above this component.' }),
    )
  })

  test('faults of the options are thrown by the provider', () => {
    const tree = createElement(RealtimeProvider, { url: 'ws://127.0.0.1:1', options: {} }, 'children')
    expect(() => renderToString(tree)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  })
})
