import type { Presence, RealtimeChannel } from '@tidewire/client'
import { defineCommand, type Command } from '../command.ts'
import { exitCodes, failed } from '../failure.ts'
import { print, printJson, printNotice, visible } from '../output.ts'
import { join } from '../remote/joined-topic.ts'
import { findTarget, targetArgs } from '../remote/target.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { parseJsonObject } from '../values.ts'

export const presence: Command = defineCommand({
  name: 'presence',
  description: 'Be present on a topic, and show joins and leaves, until Ctrl-C.',
  args: {
    topic: { type: 'positional', description: 'Such as room:1', required: true },
    track: { type: 'string', description: 'What the others see of you. Without it you only watch', valueHint: 'json' },
    as: { type: 'string', description: 'The presence key. Default: one that the server makes', valueHint: 'key' },
    private: { type: 'boolean', description: 'Join as a private channel' },
    ...targetArgs,
    json: { type: 'boolean', description: 'One JSON object a line: {"type":"sync","state"}, {"type":"join","key","presences"}, …' },
  },
  async run({ topic, track, as: key, private: isPrivate, json, ...where }) {
    const meta = track === undefined ? null : { ...parseJsonObject('--track', track) }
    const target = await findTarget(where, process.cwd(), process.env)
    const stop = watchStopSignal()
    const joined = await join(target, {
      topic,
      config: { private: isPrivate, presence: { enabled: true, ...(key === undefined ? {} : { key }) } },
      listen: (channel) => show(channel, json),
      joined: () => (json ? printJson({ type: 'subscribed', topic }) : printNotice(`On ${visible(topic)} at ${target.url}. Ctrl-C ends.`)),
      interrupted: (why) => (json ? printJson({ type: 'interrupted', topic, why }) : printNotice(`Interrupted: ${why}. Trying again.`)),
    })
    const isRefused = meta !== null && (await joined.channel.track(meta)) === 'error'
    const refused = failed(`The server refused to show us on ${visible(topic)}.`)
    const failure = isRefused ? refused : await Promise.race([joined.ended, stop.requested.then(() => null)])
    await joined.leave()
    stop.release()
    if (failure !== null) throw failure
    return exitCodes.ok
  },
})

function show(channel: RealtimeChannel, json: boolean): void {
  const line = (sign: string, key: string, presences: Presence[]): void => {
    for (const { presence_ref: _, ...meta } of presences) print(`${sign} ${visible(key)}  ${visible(JSON.stringify(meta), Infinity)}`)
  }
  channel.onPresenceJoin((key, _, presences) => (json ? printJson({ type: 'join', key, presences }) : line('+', key, presences)))
  channel.onPresenceLeave((key, _, presences) => (json ? printJson({ type: 'leave', key, presences }) : line('-', key, presences)))
  if (json) channel.onPresenceSync(() => printJson({ type: 'sync', state: channel.presenceState() }))
}
