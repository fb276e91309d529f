import { expect, test } from 'vitest'
import { asRole } from '../../test/feed.ts'
import { FeedChannel } from './feed-channel.ts'

const at = (seq: number): { readonly commitLsn: bigint; readonly seq: number } => ({ commitLsn: 10n, seq })

/** A live channel whose changes are held, and what it sent so far. */
function holding(): { readonly channel: FeedChannel; readonly sent: string[]; readonly decided: () => void } {
  const { channel, sent } = subscribing()
  channel.dispatch({ type: 'started', after: at(0) })
  channel.subscribed()
  return { channel, sent, decided: channel.defer(at(1)) }
}

function subscribing(): { readonly channel: FeedChannel; readonly sent: string[] } {
  const sent: string[] = []
  const request = {
    subTopic: 'test',
    entries: [],
    identity: asRole('anon'),
    positions: true,
    since: null,
    deletes: 'all',
    legacy: false,
  } as const
  const listener = {
    change: (event: string) => void sent.push(event),
    system: (_status: string, message: string) => void sent.push(message),
  }
  const channel = new FeedChannel(request, [], listener, () => {})
  channel.dispatch({ type: 'epoch-known' })
  channel.dispatch({ type: 'registered', missed: null })
  return { channel, sent }
}

const GAP = 'Changes may have been missed: load your data again'
const payload = new Uint8Array(1)

test('held changes with complete positions come after the notice of what was withheld meanwhile', () => {
  const { channel, sent, decided } = holding()
  channel.deliver(at(2), 'second', payload)
  channel.deliver(at(3), 'third', payload)
  channel.withhold(channel)
  decided()
  expect(sent).toEqual([GAP, 'second', 'third'])
})

test('held changes come without another notice, unless more was withheld since the last one', async () => {
  for (const more of [false, true]) {
    const { channel, sent, decided } = holding()
    channel.deliver(at(2), 'second', payload)
    channel.withhold(channel)
    channel.gap('withheld')
    // Notices of one turn are one.
    channel.gap('withheld')
    await Promise.resolve()
    if (more) channel.withhold(channel)
    decided()
    expect(sent).toEqual(more ? [GAP, GAP, 'second'] : [GAP, 'second'])
  }
})

test('held changes with incomplete positions come without another notice', () => {
  const { channel, sent, decided } = holding()
  channel.withhold(channel)
  channel.deliver(at(2), 'second', payload)
  decided()
  expect([channel.positionKind, ...sent]).toEqual(['incomplete', 'second'])
})

test('positions are complete again once nothing is withheld', () => {
  const { channel } = holding()
  const kinds: string[] = []
  for (const step of [
    () => channel.withhold(1),
    () => channel.withhold(channel),
    () => channel.release(1),
    () => channel.release(channel),
    () => expect(channel.release(channel)).toBe(false),
  ]) {
    step()
    kinds.push(channel.positionKind)
  }
  expect(kinds).toEqual(['incomplete', 'incomplete', 'incomplete', 'complete', 'complete'])
})

test('positions are incomplete until a gap is announced', () => {
  const { channel, sent } = subscribing()
  channel.gap('withheld')
  expect([channel.positionKind, ...sent]).toEqual(['incomplete'])
  channel.subscribed()
  expect([channel.positionKind, ...sent]).toEqual(['complete', GAP])
})
