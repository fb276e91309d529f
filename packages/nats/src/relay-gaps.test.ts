import { settle, textMessage } from '@tidewire/testkit'
import { describe, expect, it } from 'vitest'
import { pair, room, roomSubject } from '../test/world.ts'

describe('a relay that misses messages', () => {
  it('reports a gap on a topic where parts are missing, and goes on', async () => {
    const { world, a, b } = await pair()
    let part = 0
    world.network.reaches = () => ++part !== 2
    a.relay.publish(room, [textMessage('x'.repeat(9_000))])
    expect(part).toBe(3)
    a.relay.publish(room, [textMessage('next')])
    await world.until(() => b.seen.messages.length === 1)
    expect([b.seen.gaps, b.seen.texts]).toEqual([[[room]], ['next']])
    expect(b.seen.faults).toMatchObject([{ code: 'incomplete' }])
    await world.pass(12_000)
    expect(b.seen.gaps).toEqual([[room]])
  })

  it('sees by the beats that the way from a node was broken, though both stayed connected', async () => {
    const { world, a, b } = await pair()
    world.network.reaches = () => false
    a.relay.publish(room, [textMessage('lost')])
    await world.pass(3_000)
    expect(b.seen.gaps).toEqual([])
    world.network.reaches = () => true
    await world.until(() => a.seen.gaps.length === 1 && b.seen.gaps.length === 1)
    expect(b.seen.peers.map(({ kind }) => kind)).toEqual(['up'])
    await world.pass(10_000)
    expect(b.seen.gaps).toEqual(['all'])
  })

  it('sees by the next beat what was lost last, and what was lost before another message by that', async () => {
    const { world, a, b } = await pair()
    const other = { name: 'other', private: false }
    b.relay.interest(other)
    await world.pass(2_000)
    world.network.reaches = () => false
    a.relay.publish(room, [textMessage('lost')])
    world.network.reaches = () => true
    await world.until(() => b.seen.gaps.length === 1, 1_500)
    a.relay.publish(other, [textMessage('1')])
    world.network.reaches = () => false
    a.relay.publish(other, [textMessage('lost')])
    world.network.reaches = () => true
    a.relay.publish(other, [textMessage('2')])
    await settle()
    expect([b.seen.gaps, b.seen.texts]).toEqual([
      [[room], [other]],
      ['1', '2'],
    ])
    await world.pass(10_000)
    expect([a.seen.gaps, b.seen.gaps.length]).toEqual([[], 2])
  })

  it('reports the first message of a topic as lost, too, however long the topic was quiet', async () => {
    const { world, a, b } = await pair()
    await world.pass(20_000)
    world.network.reaches = () => false
    a.relay.publish(room, [textMessage('lost')])
    world.network.reaches = () => true
    a.relay.publish(room, [textMessage('1')])
    await settle()
    expect([b.seen.gaps, b.seen.texts]).toEqual([[[room]], ['1']])
  })

  it('sends a beat at once where more topics had messages than one should name', async () => {
    const { world, a, b } = await pair()
    const name = 'x'.repeat(1_000)
    for (let at = 0; at < 200; at++) a.relay.publish({ name: `${name}${at}`, private: false }, [textMessage('1')])
    expect(a.end.published.get(roomSubject)).toBeUndefined()
    world.network.reaches = () => false
    a.relay.publish(room, [textMessage('lost')])
    world.network.reaches = () => true
    for (let at = 0; at < 70; at++) a.relay.publish({ name: `${name}${at}`, private: false }, [textMessage('1')])
    await settle()
    expect(b.seen.gaps).toEqual([[room]])
    await world.pass(5_000)
    expect([a.seen.gaps, b.seen.gaps, b.seen.faults]).toEqual([[], [[room]], []])
  })
})
