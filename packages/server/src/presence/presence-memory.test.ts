import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { PresenceTracker } from './presence-tracker.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const VISITS = 3

/** What is reachable. What one collection only marks as dead, such as code that was replaced, the next ones free. */
function heapBytes(): number {
  for (let round = 0; round < 2; round++) collect()
  return process.memoryUsage().heapUsed
}

interface Channel {
  readonly topic: string
}

/** 20,000 channels in 2,000 topics come, update once, are asked for, and go. */
function visit(tracker: PresenceTracker<Channel>): { bytesPerMember: number } {
  const before = heapBytes()
  const channels = Array.from({ length: 20_000 }, (_, at): Channel => ({ topic: `realtime:${at % 2000}` }))
  for (const [at, channel] of channels.entries()) tracker.track(channel.topic, `user-${at}`, channel, { at })
  for (const [at, channel] of channels.entries()) tracker.track(channel.topic, `user-${at}`, channel, { at, again: true })
  const bytesPerMember = (heapBytes() - before) / channels.length
  for (const channel of channels) tracker.state(channel.topic)
  for (const channel of channels) tracker.untrack(channel.topic, channel)
  expect(tracker.topicCount).toBe(0)
  return { bytesPerMember }
}

describe('memory', () => {
  it.each(['alone', 'with a peer'])('returns to its base when all have left (%s)', (company) => {
    let refs = 0
    const tracker = new PresenceTracker<Channel>({ replica: 'one', nextPhxRef: () => `ref-${++refs}` })
    if (company === 'with a peer') tracker.replicaUp('two')
    const growths: number[] = []
    for (let visits = 0; visits < VISITS; visits++) {
      const base = heapBytes()
      const { bytesPerMember } = visit(tracker)
      tracker.takeDelta()
      growths.push(heapBytes() - base)
      expect(bytesPerMember).toBeLessThan(1000)
    }
    // Whenever it likes, V8 compiles code into the same heap; what a visit leaves behind, every visit does.
    expect(Math.min(...growths)).toBeLessThan(200_000)
    // An addition, an update (a removal and an addition) and a removal each.
    expect(tracker.delta()).toEqual([{ replica: 'one', seen: [1, VISITS * 80_000], entries: [] }])
  })
})
