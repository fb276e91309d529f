import type { ChannelEffect, ChannelEvent } from './channel-state.ts'
import type { ChannelConnection, Services } from './services.ts'

/** A question that a channel's machine waits for. */
export type Question = Extract<ChannelEffect, { type: 'verify' | 'ask-read' | 'ask-write' }>

/** A channel, as far as the answer depends on it. */
export interface Asker {
  readonly subTopic: string
  readonly connection: Pick<ChannelConnection, 'headers'>
  readonly services: Pick<Services, 'admit' | 'authorizer'>
  readonly closed: boolean
}

/** Asks whether a token is good, or what its identity may read or write. `answer` gets the event for the machine, once. */
export function ask(question: Question, channel: Asker, answer: (event: ChannelEvent) => void): void {
  const { subTopic, connection, services } = channel
  // The headers are one object per socket, so they identify it.
  const asker = { origin: connection.headers, isWaiting: () => !channel.closed }
  switch (question.type) {
    case 'verify': {
      const { token } = question
      void services.admit(token, connection.headers).then((result) => {
        if (result.ok) answer({ type: 'admitted', admission: result.admission })
        else answer({ type: 'token-refused', token, code: result.code, joinReason: result.joinReason, message: result.message })
      })
      return
    }
    case 'ask-read': {
      const { admission } = question
      const asked = services.authorizer.read({ subTopic, identity: admission.identity, asker })
      void asked.then((authorization) => answer({ type: 'read-decided', admission, authorization }))
      return
    }
    case 'ask-write': {
      const { admission } = question
      const asked = services.authorizer.write({ subTopic, identity: admission.identity, asker })
      void asked.then((authorization) => answer({ type: 'write-decided', admission, authorization }))
      return
    }
  }
}
