import type { IncomingMessage } from 'node:http'
import type { WebSocketLikeConstructor } from '@tidewire/client'
import { WebSocket } from 'ws'
import { reasonOf } from '../failure.ts'
import { visible } from '../output.ts'

/** Why the last socket could not be opened. */
export interface DialFault {
  /** The HTTP status with which the server refused; `null` when there was no answer at all. */
  readonly status: number | null
  readonly detail: string
}

const MAX_ANSWER_BYTES = 4_096

/** A WebSocket that gives the reason why it could not be opened. The standard API hides it, as browsers must. */
export function dialingSocket(onFault: (fault: DialFault) => void): WebSocketLikeConstructor {
  class DialingSocket extends WebSocket {
    constructor(address: string | URL, subprotocols?: string | string[]) {
      super(address, subprotocols, { perMessageDeflate: false })
      this.on('unexpected-response', (_request, response: IncomingMessage) => {
        readAnswer(response, (text) => {
          onFault({ status: response.statusCode ?? 0, detail: text })
          this.terminate()
        })
      })
      this.on('error', (error) => {
        // Ending the refused attempt raises an error of its own; the refusal was reported before.
        if (!/closed before the connection/.test(error.message)) onFault({ status: null, detail: reasonOf(error) })
      })
    }
  }
  return DialingSocket
}

function readAnswer(response: IncomingMessage, done: (text: string) => void): void {
  let body = ''
  let isDone = false
  const finish = (): void => {
    if (isDone) return
    isDone = true
    done(visible(errorIn(body) || response.statusMessage || ''))
  }
  response.setEncoding('utf8')
  response.on('data', (text: string) => {
    body += text
    if (body.length > MAX_ANSWER_BYTES) finish()
  })
  response.on('end', finish).on('error', finish).on('close', finish)
}

function errorIn(body: string): string {
  try {
    const { error, message } = JSON.parse(body) as { readonly error?: unknown; readonly message?: unknown }
    const text = error ?? message
    return typeof text === 'string' ? text : ''
  } catch {
    return ''
  }
}
