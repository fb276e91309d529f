import { formatTopicKey } from '@tidewire/protocol'
import type { RelayFaultCode, RelayTopic } from '@tidewire/server'
import { ServerRuntime, textMessage } from '@tidewire/testkit'
import { describe, expect, it } from 'vitest'
import { encodeBatch, encodeNodeMessage, encodeParts } from './envelope.ts'
import { Inbox } from './inbox.ts'

const self = 'aaaaaaaaaaaa'
const other = 'bbbbbbbbbbbb'
const third = 'cccccccccccc'
const room = { name: 'a:b', private: true }
const key = formatTopicKey(room)
const numbers = { number: 2, previous: 1 }

function opened() {
  const runtime = new ServerRuntime()
  const faults: RelayFaultCode[] = []
  const gaps: (readonly RelayTopic[])[] = []
  const inbox = new Inbox(self, runtime, { fault: (code) => faults.push(code), gap: (topics) => gaps.push(topics) })
  return { runtime, inbox, faults, gaps }
}

const large = (from: string, id: number): Buffer[] => encodeParts(from, id, encodeBatch(from, numbers, [textMessage('x'.repeat(500))]), 200)

describe('an inbox', () => {
  it('reads envelopes of other nodes, and counts the bytes of all', () => {
    const { inbox } = opened()
    const [theirs, own] = [encodeBatch(other, numbers, [textMessage('a')]), encodeBatch(self, numbers, [textMessage('b')])]
    expect(inbox.read(key, theirs, room)).toMatchObject({ kind: 'batch', from: other })
    expect(inbox.read(key, own, room)).toBeNull()
    expect(inbox.receivedBytes).toBe(theirs.length + own.length)
  })

  it('joins parts, those of each node and subject by themselves', () => {
    const { inbox, faults, gaps } = opened()
    const [one, two] = [large(other, 1), large(third, 1)]
    for (let at = 0; at < one.length - 1; at++) {
      expect(inbox.read(key, one[at]!, room)).toBeNull()
      expect(inbox.read(key, two[at]!, room)).toBeNull()
    }
    expect(inbox.read(key, one.at(-1)!, room)).toMatchObject({ kind: 'batch', from: other })
    expect(inbox.read(key, two.at(-1)!, room)).toMatchObject({ kind: 'batch', from: third })
    expect([faults, gaps]).toEqual([[], []])
  })

  it.each([
    ['another message', (): Buffer => encodeBatch(other, numbers, [textMessage('a')])],
    ['a part of another message', (): Buffer => large(other, 2)[0]!],
  ])('reports a message as lost when %s follows its first part', (_, next) => {
    const { inbox, faults } = opened()
    inbox.read(key, large(other, 1)[0]!, room)
    inbox.read(key, next(), room)
    expect(faults).toEqual(['incomplete'])
  })

  it('reports parts that do not come in time', () => {
    const { runtime, inbox, faults } = opened()
    inbox.read('', large(other, 1)[0]!, null)
    inbox.read(key, large(other, 1)[0]!, room)
    inbox.tick()
    expect(faults).toEqual([])
    runtime.advance(10_000)
    inbox.tick()
    expect(faults).toEqual(['incomplete', 'incomplete'])
  })

  it('forgets unfinished messages when the link goes down', () => {
    const { runtime, inbox, faults } = opened()
    inbox.read(key, large(other, 1)[0]!, room)
    inbox.lost()
    runtime.advance(10_000)
    inbox.tick()
    expect(faults).toEqual([])
  })

  it('refuses parts that make an envelope of another node, or none', () => {
    const { inbox, faults } = opened()
    for (const whole of [
      encodeBatch(third, numbers, [textMessage('x'.repeat(500))]),
      Buffer.alloc(500),
      encodeParts(other, 9, Buffer.alloc(500), 600)[0]!,
    ])
      for (const part of encodeParts(other, 1, whole, 200)) expect(inbox.read(key, part, room)).toBeNull()
    expect(faults).toEqual(['malformed', 'malformed', 'malformed'])
  })

  it('reports a gap, once a tick, on topics with messages of a version that it cannot read', () => {
    const { inbox, faults, gaps } = opened()
    const later = encodeBatch(other, numbers, [textMessage('a')])
    later[2] = 9
    for (let times = 0; times < 3; times++) expect(inbox.read(key, later, room)).toBeNull()
    const message = encodeNodeMessage(other, 'admin', Buffer.from('x'))
    message[2] = 9
    expect(inbox.read('', message, null)).toBeNull()
    expect(gaps).toEqual([])
    inbox.tick()
    inbox.tick()
    expect(gaps).toEqual([[room]])
    expect(faults).toEqual(['version', 'version', 'version', 'version'])
  })
})
