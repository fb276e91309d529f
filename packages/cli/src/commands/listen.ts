import type { BroadcastMessage } from '@tidewire/client'
import { defineCommand, type Command } from '../command.ts'
import { exitCodes } from '../failure.ts'
import { print, printJson, tell, visible } from '../output.ts'
import { join } from '../remote/membership.ts'
import { findTarget, targetArgs } from '../remote/target.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { parseCount } from '../values.ts'

export const listen: Command = defineCommand({
  name: 'listen',
  description: 'Show the broadcasts of a topic until Ctrl-C.',
  args: {
    topic: { type: 'positional', description: 'Such as room:1', required: true },
    event: { type: 'string', description: 'Only broadcasts of this event' },
    count: { type: 'string', description: 'End after so many broadcasts', valueHint: 'n' },
    private: { type: 'boolean', description: 'Join as a private channel' },
    ...targetArgs,
    json: { type: 'boolean', description: 'One JSON object a line: {"type":"subscribed"}, {"type":"broadcast","event","payload"}, …' },
  },
  async run({ topic, event = '*', count, private: isPrivate, json, ...where }) {
    const wanted = count === undefined ? Infinity : parseCount('--count', count)
    const target = await findTarget(where, process.cwd(), process.env)
    const stop = watchStopSignal()
    let shown = 0
    let complete: () => void
    const completed = new Promise<null>((resolve) => (complete = () => resolve(null)))
    const membership = await join(target, {
      topic,
      config: { private: isPrivate },
      listen: (channel) =>
        channel.onBroadcast(event, (message) => {
          if (shown >= wanted) return
          if (json) printJson(describe(topic, message))
          else print(`${clock()}  ${visible(message.event)}  ${payloadText(message.payload)}`)
          if (++shown === wanted) complete()
        }),
      joined: () =>
        json ? printJson({ type: 'subscribed', topic }) : tell(`Listening to ${visible(topic)} on ${target.url}. Ctrl-C ends.`),
      interrupted: (why) => (json ? printJson({ type: 'interrupted', topic, why }) : tell(`Interrupted: ${why}. Trying again.`)),
    })
    const failure = await Promise.race([membership.ended, completed, stop.requested.then(() => null)])
    await membership.leave()
    stop.release()
    if (failure !== null) throw failure
    return exitCodes.ok
  },
})

function describe(topic: string, { event, payload, meta }: BroadcastMessage): object {
  const bytes = bytesOf(payload)
  const body = bytes === null ? { payload } : { payloadBase64: Buffer.from(bytes).toString('base64') }
  return { type: 'broadcast', topic, event, ...body, ...(meta === undefined ? {} : { meta }) }
}

function payloadText(payload: unknown): string {
  const bytes = bytesOf(payload)
  return bytes === null ? visible(JSON.stringify(payload) ?? '', Infinity) : `(${bytes.byteLength} bytes)`
}

function bytesOf(payload: unknown): Uint8Array | null {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload)
  return payload instanceof Uint8Array ? payload : null
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}
