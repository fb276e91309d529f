import type { RealtimeChannel } from '@tidewire/client'
import { defineCommand, type Command } from '../command.ts'
import { exitCodes, failed, misused, type Failure } from '../failure.ts'
import { print, printJson, printNotice, visible } from '../output.ts'
import { describeChanges, readListenOptions, type ListenOptions } from '../remote/change-options.ts'
import { join } from '../remote/joined-topic.ts'
import { broadcastLine, broadcastObject, changeLine, changeObject } from '../remote/message-lines.ts'
import { findTarget, targetArgs } from '../remote/target.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { parseCount } from '../values.ts'

/** The topic where only changes are listened to: any name will do. */
const ANY_TOPIC = 'tidewire-listen'

/** How long the changes may take to be live: the feed may still be connecting to its database. */
const LIVE_TIMEOUT_MS = 60_000

export const listen: Command = defineCommand({
  name: 'listen',
  description: 'Show the broadcasts of a topic, the changes of tables, or both, until Ctrl-C.',
  args: {
    topic: { type: 'positional', description: 'Such as room:1; may be left out with --changes', required: false },
    event: { type: 'string', description: 'Only broadcasts of this event; behind a --changes INSERT, UPDATE or DELETE' },
    changes: { type: 'string', description: 'The changes of this table, or of public.*; may be given several times', valueHint: 'table' },
    filter: { type: 'string', description: "Of the --changes before it: only rows that match, such as 'id=gt.5'", valueHint: 'filter' },
    select: { type: 'string', description: 'Of the --changes before it: only these columns', valueHint: 'a,b' },
    since: { type: 'string', description: 'First the changes since this position, as --json prints them', valueHint: 'position' },
    count: { type: 'string', description: 'End after so many broadcasts and changes', valueHint: 'n' },
    private: { type: 'boolean', description: 'Join as a private channel' },
    ...targetArgs,
    json: { type: 'boolean', description: 'One JSON object a line: {"type":"subscribed"}, {"type":"broadcast","event","payload"}, …' },
  },
  repeated: ['event', 'changes', 'filter', 'select'],
  epilogue: () =>
    [
      'EXAMPLES',
      '',
      '  tidewire listen room:1 --event hello',
      "  tidewire listen --changes public.todos --filter 'id=gt.5' --event INSERT --changes public.users --select id,name",
    ].join('\n'),
  async run({ topic, since, count, private: isPrivate, json, ...where }, repeated) {
    const options = readListenOptions(repeated)
    if (topic === undefined && options.changes.length === 0) throw misused('TOPIC or --changes is missing.')
    if (since !== undefined && options.changes.length === 0) throw misused('--since is for --changes.')
    const wanted = count === undefined ? Infinity : parseCount('--count', count)
    const target = await findTarget(where, process.cwd(), process.env)
    const stop = watchStopSignal()
    let shown = 0
    let complete: (failure: Failure | null) => void
    const completed = new Promise<Failure | null>((resolve) => (complete = resolve))
    const show = (text: string | object): void => {
      if (shown >= wanted) return
      if (typeof text === 'string') print(text)
      else printJson(text)
      if (++shown === wanted) complete(null)
    }
    const joined = await join(target, {
      topic: topic ?? ANY_TOPIC,
      config: {
        private: isPrivate,
        ...(options.changes.length === 0
          ? {}
          : { postgres_changes_options: { wait: true, timeout: Math.min(target.timeoutMs, LIVE_TIMEOUT_MS), ...(since && { since }) } }),
      },
      listen: (channel) => {
        if (topic !== undefined)
          channel.onBroadcast(options.broadcastEvent, (message) => show(json ? broadcastObject(topic, message) : broadcastLine(message)))
        if (options.changes.length > 0) listenToChanges(channel, options, { json, url: target.url, show, refused: (why) => complete(why) })
      },
      joined: () => {
        if (topic === undefined) return
        if (json) printJson({ type: 'subscribed', topic })
        else printNotice(`Listening to ${visible(topic)} on ${target.url}. Ctrl-C ends.`)
      },
      interrupted: (why) => (json ? printJson({ type: 'interrupted', topic, why }) : printNotice(`Interrupted: ${why}. Trying again.`)),
    })
    const failure = await Promise.race([joined.ended, completed, stop.requested.then(() => null)])
    await joined.leave()
    stop.release()
    if (failure !== null) throw failure
    return exitCodes.ok
  },
})

interface Showing {
  readonly json: boolean
  readonly url: string
  readonly show: (text: string | object) => void
  readonly refused: (failure: Failure) => void
}

/** A `system` message about the changes of a channel. */
interface ChangesNews {
  readonly extension: string
  readonly status: string
  readonly message?: unknown
  readonly position?: unknown
  readonly recovered?: unknown
  readonly reason?: unknown
}

function listenToChanges(channel: RealtimeChannel, { changes }: ListenOptions, { json, url, show, refused }: Showing): void {
  for (const { event, ...filter } of changes)
    channel.onPostgresChanges(event, filter, (change) => show(json ? changeObject(change) : changeLine(change)))
  let isLive = false
  channel.onSystem((news: ChangesNews) => {
    if (news.extension !== 'postgres_changes') return
    const message = visible(String(news.message), 2_000)
    if (news.status !== 'ok') {
      if (!isLive) refused(failed(`${url} refused the changes: ${message}.`))
      else if (json) printJson({ type: 'interrupted', why: message })
      else printNotice(`Interrupted: ${message}.`)
      return
    }
    const extra = {
      ...(typeof news.position === 'string' ? { position: news.position } : {}),
      ...(typeof news.recovered === 'boolean' ? { recovered: news.recovered } : {}),
      ...(typeof news.reason === 'string' ? { reason: news.reason } : {}),
    }
    if (json) printJson({ type: isLive && news.recovered === undefined ? 'position' : 'live', changes, ...extra })
    else {
      if (!isLive)
        printNotice(`Listening to changes: ${changes.map((asked) => visible(describeChanges(asked))).join('; ')} on ${url}. Ctrl-C ends.`)
      if (news.recovered === false)
        printNotice(
          `Some changes were missed and cannot be replayed (${visible(typeof news.reason === 'string' ? news.reason : message)}).`,
        )
    }
    isLive = true
  })
}
