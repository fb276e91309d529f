import { text } from 'node:stream/consumers'
import { RealtimeClient, RealtimeError } from '@tidewire/client'
import { defineCommand, type Command } from '../command.ts'
import { exitCodes, failed, reasonOf, type Failure } from '../failure.ts'
import { print, printJson, visible } from '../output.ts'
import { showProgress } from '../progress-bar.ts'
import { unreachable } from '../remote/joined-topic.ts'
import { findTarget, targetArgs, type Target } from '../remote/target.ts'
import { parseJsonObject } from '../values.ts'

export const send: Command = defineCommand({
  name: 'send',
  description: 'Send one broadcast.',
  args: {
    topic: { type: 'positional', description: 'Such as room:1', required: true },
    event: { type: 'positional', description: 'What the broadcast is called', required: true },
    payload: {
      type: 'positional',
      description: 'A JSON object, or - to read it from stdin. Default {}',
      required: false,
      valueHint: 'json',
    },
    private: { type: 'boolean', description: 'To a private channel' },
    ...targetArgs,
    json: { type: 'boolean', description: 'Print {"sent":true,"topic","event","receivers"}' },
  },
  async run({ topic, event, payload: given = '{}', private: isPrivate, json, ...where }) {
    const payload = parseJsonObject('PAYLOAD', given === '-' ? await text(process.stdin) : given)
    const target = await findTarget(where, process.cwd(), process.env)
    let receivers: number | null = null
    const client = new RealtimeClient(target.endpoint, {
      apikey: target.key,
      timeout: target.timeoutMs,
      fetch: async (...request) => {
        const response = await fetch(...request)
        receivers = receiversOf(response)
        return response
      },
    })
    try {
      await showProgress('Sending', () => client.channel(topic, { config: { private: isPrivate } }).httpSend(event, payload))
    } catch (error) {
      throw explain(target, error)
    }
    if (json) printJson({ sent: true, topic, event, ...(receivers === null ? {} : { receivers }) })
    else print(`Sent ${visible(event)} to ${visible(topic)}${inWords(receivers)}.`)
    return exitCodes.ok
  },
})

/** The number of receivers on the node that answered; `null`: the server does not say, as that of Supabase. */
function receiversOf(response: Response): number | null {
  const count = response.headers.get('tidewire-receivers')
  return count === null || !/^\d+$/.test(count) ? null : Number(count)
}

function inWords(receivers: number | null): string {
  if (receivers === null) return ''
  return receivers === 1 ? ': 1 subscriber on this server received it' : `: ${receivers} subscribers on this server received it`
}

function explain(target: Target, error: unknown): Failure {
  if (!(error instanceof RealtimeError)) throw error
  const { status } = (error.cause ?? {}) as { readonly status?: unknown }
  if (typeof status === 'number') return failed(`${target.url} refused the broadcast (${status}): ${visible(error.message)}.`, error)
  if (error.code === 'http-failed') return unreachable(target.url, { status: null, detail: rootReason(error) })
  return failed(`The broadcast was not sent: ${visible(error.message)}`, error)
}

/** The system's message: `fetch` has it in the cause of its error. */
function rootReason(error: Error): string {
  let root: Error = error
  while (root.cause instanceof Error) root = root.cause
  return reasonOf(root)
}
