import { RealtimeClient, type RealtimeChannel, type RealtimeChannelOptions } from '@tidewire/client'
import { failed, type Failure } from '../failure.ts'
import { visible } from '../output.ts'
import { showProgress, type Progress } from '../progress-bar.ts'
import { dialingSocket, type DialFault } from './dialing-socket.ts'
import type { Target } from './target.ts'

export interface JoinedTopicOptions {
  readonly topic: string
  readonly config: RealtimeChannelOptions['config']
  /** Adds the listeners. Called before the channel is joined. */
  listen(channel: RealtimeChannel): void
  /** Called after each join, also after a lost connection came back. */
  joined(): void
  /** Called when the connection is lost or the channel fails. The client tries again. */
  interrupted(why: string): void
}

/** A topic that this process has joined. */
export interface JoinedTopic {
  readonly channel: RealtimeChannel
  /** Resolves when the server has ended it, and the client does not try again. */
  readonly ended: Promise<Failure>
  /** Leaves and disconnects. */
  leave(): Promise<void>
}

/** Joins a topic. Rejects with a Failure when that does not work at once; the client recovers from later interruptions. */
export async function join(target: Target, options: JoinedTopicOptions): Promise<JoinedTopic> {
  let fault: DialFault | null = null
  let lastWord = ''
  const client = new RealtimeClient(target.endpoint, {
    apikey: target.key,
    timeout: target.timeoutMs,
    transport: dialingSocket((found) => (fault = found)),
  })
  const channel = client.channel(options.topic, { config: options.config })
  let bar: Progress | null = null
  channel.onSystem(({ status, message }: { readonly status: unknown; readonly message?: unknown }) => {
    if (status === 'error') lastWord = String(message)
    // A listener may print.
    bar?.clear()
  })
  options.listen(channel)
  const leave = async (): Promise<void> => void (await client.removeAllChannels())
  let hasJoined = false
  let end: (failure: Failure) => void
  const ended = new Promise<Failure>((resolve) => (end = resolve))
  try {
    await showProgress('Joining', (progress) => {
      bar = progress
      return new Promise<void>((resolve, reject) => {
        channel.subscribe((status, error) => {
          if (status === 'SUBSCRIBED') {
            hasJoined = true
            fault = null
            progress.end()
            options.joined()
            return resolve()
          }
          if (!hasJoined) return reject(refusal(target, options.topic, fault, error))
          if (status === 'CLOSED')
            return end(failed(`The server closed ${options.topic}${lastWord === '' ? '' : `: ${visible(lastWord)}`}.`))
          options.interrupted(visible(fault?.detail || error?.message || 'no answer'))
        })
      })
    })
  } catch (error) {
    await leave()
    throw error
  }
  return { channel, ended, leave }
}

function refusal({ url }: Target, topic: string, fault: DialFault | null, error: Error | undefined): Failure {
  if (fault !== null) return unreachable(url, fault)
  return failed(`${url} did not let us join ${topic}: ${visible(error?.message ?? 'there was no answer in time', 2_000)}.`, error)
}

export function unreachable(url: string, { status, detail }: DialFault): Failure {
  if (status === null)
    return failed(`No server answers at ${url} (${detail}): start one with \`tidewire dev\`, or say where it is with --url.`)
  return failed(`${url} refused the connection (${status}): ${detail}.`)
}
