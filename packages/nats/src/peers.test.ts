import { describe, expect, it } from 'vitest'
import type { Beat } from './envelope.ts'
import type { Entry } from './interests.ts'
import { Peers } from './peers.ts'

const room = { name: 'room', private: false }
const from = 'aaaaaaaaaaaa'

/** A topic whose subscription was confirmed, and the nodes that are heard. */
function opened(confirmed = 1) {
  const peers = new Peers()
  const entry: Entry = {
    key: 'public:room',
    topic: room,
    subject: 's',
    members: 1,
    idleSince: 0,
    unsubscribe: null,
    confirmed,
    confirming: null,
  }
  const interests = { find: (key: string) => (key === entry.key ? entry : undefined), confirmations: 1 }
  const beat = (number: number, previous: number | null, last?: number, state: Beat['state'] = 'up') =>
    peers.hear(
      from,
      { number, previous, sent: last === undefined ? [] : [[entry.key, last]], state, name: 'a', version: '1', startedAt: 0, spreadMs: 0 },
      10_000,
      interests,
    ).gap
  const batch = (number: number, previous: number) => peers.take(from, entry, { number, previous })
  return { peers, interests, beat, batch }
}

describe('what came from a node', () => {
  it('is missing where a batch names one before it that did not come, and where a beat names a later one', () => {
    const { beat, batch } = opened()
    expect([beat(1, 0), batch(2, 0), batch(5, 3), beat(7, 1, 6), beat(8, 7)]).toEqual([[], 'next', 'gap', [room], []])
  })

  it('is missing on all topics where a beat is missing, or was not heard from the first on', () => {
    const { beat } = opened()
    expect([beat(4, 3), beat(6, 4), beat(9, 8), beat(9, 8), beat(8, 6)]).toEqual(['all', [], 'all', [], []])
  })

  it('is missing on a topic that a node names in its first beat: it could not send that', () => {
    const { beat, batch } = opened()
    expect([beat(3, 0, 2), batch(4, 0)]).toEqual([[room], 'next'])
  })

  it('is missing, too, when the node says so as it closes', () => {
    const { peers, beat } = opened()
    beat(1, 0)
    expect(beat(3, 1, 2, 'closing')).toEqual([room])
    expect(peers.all).toEqual([])
  })

  it('counts from the first batch, or from the first beat after the confirmation, on a topic that is subscribed to later', () => {
    const first = opened(2)
    first.beat(1, 0)
    expect([first.batch(5, 4), first.batch(8, 7), first.beat(9, 1, 8)]).toEqual(['next', 'gap', []])
    const second = opened(2)
    second.beat(1, 0)
    expect(second.beat(5, 1, 4)).toEqual([])
    second.interests.confirmations = 2
    expect([second.beat(6, 5), second.batch(8, 7)]).toEqual([[], 'gap'])
  })

  it('counts from an answer of a node, and what was sent before it is not missing', () => {
    const { beat, batch } = opened()
    expect([beat(20, null), beat(21, 10, 19), batch(23, 22)]).toEqual(['all', [], 'gap'])
  })

  it('is late when it came already or was missing, and an answer or a late beat takes nothing back', () => {
    const { beat, batch } = opened()
    beat(1, 0)
    expect([batch(3, 0), batch(3, 0), batch(6, 5), batch(5, 3)]).toEqual(['next', 'late', 'gap', 'late'])
    expect([beat(4, 1, 3), beat(2, null), batch(6, 5), batch(7, 6)]).toEqual([[], [], 'late', 'next'])
    expect([beat(8, 4, 7), batch(7, 6)]).toEqual([[], 'late'])
  })

  it('of a node that is not heard is not counted', () => {
    const { batch } = opened()
    expect([batch(9, 8), batch(3, 2)]).toEqual(['next', 'next'])
  })
})
