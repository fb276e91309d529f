import { NodeInProcess } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import type { PublishOutcome, PublishRequest } from './ports.ts'

const identity = { role: 'anon', claims: {}, headers: {} }

function message(n: number, subTopic = 'room'): PublishRequest {
  return { subTopic, private: false, event: 'e', payload: { encoding: 'json', bytes: Buffer.from(`{"n":${n}}`) }, form: 'text', identity }
}

test('what is published is written at once, or the outcome says until when it is not', async () => {
  const node = new NodeInProcess()
  const receiver = node.connect()
  await receiver.join('realtime:room')
  const arrived = (): number => receiver.received.filter(({ event }) => event === 'broadcast').length
  const written: Promise<void>[] = []
  const publish = async (request: PublishRequest): Promise<Extract<PublishOutcome, { kind: 'accepted' }>> => {
    const outcome = await node.server.publish(request)
    if (outcome.kind !== 'accepted') throw new Error(outcome.kind)
    return outcome
  }
  expect(await publish(message(1))).toEqual({ kind: 'accepted', receivers: 1 })
  expect(arrived()).toBe(1)
  let isWritten = false
  for (const n of [2, 3]) written.push((await publish(message(n))).written!)
  void Promise.all(written).then(() => (isWritten = true))
  expect(await publish(message(4, 'empty'))).toEqual({ kind: 'accepted', receivers: 0 })
  expect([arrived(), isWritten]).toEqual([1, false])
  node.runtime.endTurn()
  expect(arrived()).toBe(3)
  await Promise.all(written)
})
