import { ServerRuntime } from '@tidewire/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JoinPosition } from '../ports/log.ts'
import { FlushScheduler } from './flush-scheduler.ts'
import { isBehind, latestOf } from './join-position.ts'
import type { Subscriber } from './subscriber.ts'
import { Topic } from './topic.ts'

const at = (lsn: number, log = 'l'): JoinPosition => ({ log, lsn: BigInt(lsn) })
const commit = (lsn: number, log = 'l', xid = lsn): { log: string; lsn: bigint; xid: number } => ({ log, lsn: BigInt(lsn), xid })

test.each<[string, JoinPosition | null, ReturnType<typeof commit> | null, boolean]>([
  ['before the join', at(10), commit(9), true],
  ['at the join', at(10), commit(10), false],
  ['before the join, in another log', at(10), commit(9, 'other'), false],
  ['before the join, in a log of which the beginning of the name is known', at(10, '1@'), commit(9, '1@cluster'), true],
  ['before the join, in a log of which the beginning is another one', at(10, '1@'), commit(9, '11@cluster'), false],
  ['before a join of which no position is known', null, commit(9), false],
  ['somewhere, which is not known', at(10), null, false],
  ['before the end of a replay that saw it', { ...at(10), saw: () => true }, commit(9), true],
  ['before the end of a replay that did not see it', { ...at(10), saw: () => false }, commit(9), false],
  ['behind the end of a replay', { ...at(10), saw: () => true }, commit(10), false],
])('a message that was committed %s', (_, position, committed, expected) => expect(isBehind(position, committed)).toBe(expected))

test('the latest join of a topic is that of the newest log', () => {
  const [early, late, other] = [at(1), at(2), at(1, 'other')]
  expect([latestOf(null, null), latestOf(null, early), latestOf(late, null)]).toEqual([null, early, late])
  expect([latestOf(early, late), latestOf(late, early), latestOf(late, other)]).toEqual([late, late, other])
})

class Receiver implements Subscriber {
  readonly version = '2.0.0'
  messages = 0

  write(_frames: Buffer, messages: number): void {
    this.messages += messages
  }

  notifyGap(): void {}
}

test('every member gets what was committed after it joined, and nothing from before, in whatever order members come and messages are read', () => {
  const member = fc.record({ joinsAfter: fc.nat(20), lsn: fc.option(fc.nat(20), { nil: null }) })
  fc.assert(
    fc.property(fc.array(member, { maxLength: 8 }), fc.integer({ min: 1, max: 20 }), (members, count) => {
      const topic = new Topic({ name: 'room', private: true }, new FlushScheduler(new ServerRuntime(), { lingerMs: 0 }))
      const receivers = members.map(() => new Receiver())
      const expected = members.map(() => 0)
      for (let lsn = 0; lsn < count; lsn++) {
        for (const [n, { joinsAfter, lsn: position }] of members.entries()) {
          if (joinsAfter === lsn)
            topic.subscribe(receivers[n]!, { broadcast: true, presence: true }, position === null ? null : at(position))
          if (joinsAfter <= lsn && (position ?? 0) <= lsn) expected[n]!++
        }
        const before = receivers.map(({ messages }) => messages)
        const reached = topic.fanOutStored(commit(lsn), { kind: 'text', event: 'broadcast', payload: Buffer.from('1') })
        topic.flush()
        expect(receivers.filter(({ messages }, n) => messages > before[n]!)).toHaveLength(reached)
      }
      expect(receivers.map(({ messages }) => messages)).toEqual(expected)
    }),
  )
})
