import { traceparentOf } from '@tidewire/protocol'
import type { Services } from './channel/services.ts'
import type { MessageCommit } from './ports/log.ts'
import type { PublishOutcome, PublishRequest } from './ports/messages.ts'
import type { TopicMessage } from './ports/topic.ts'
import type { Topic } from './topic/topic.ts'

/** A broadcast that the database has allowed, so that no policy is asked. */
export type TrustedPublish = Omit<PublishRequest, 'identity'> & {
  /** A valid `traceparent` (rule B9). */
  readonly traceparent?: string | null
  /** When the message was committed, Unix milliseconds by the clock of the database. Its span begins then. */
  readonly committedAt?: number
  /** Where the message was committed: channels that joined after it do not get it. Absent: all get it. */
  readonly commit?: MessageCommit
}

/** A message that the database keeps under an id. */
export type StoredPublish = TrustedPublish & { readonly id: string }

/** Publishes a broadcast that came over HTTP, within the limit of bytes and if the policies of a private topic allow it. */
export async function publish(services: Services, request: PublishRequest): Promise<PublishOutcome> {
  if (request.payload.bytes.length > services.limits.maxPayloadBytes) return { kind: 'too-large' }
  if (request.private) {
    const allowed = await services.authorizer.write({ subTopic: request.subTopic, identity: request.identity })
    if (!allowed.ok) return { kind: 'unavailable', message: allowed.reason }
    if (!allowed.broadcast) return { kind: 'denied', ...(allowed.detail === undefined ? {} : { detail: allowed.detail }) }
  }
  const traceparent = traceparentOf(request.identity.headers)
  const key = keyOf(request)
  const receivers = services.publisher.publish(key, messageOf(request, traceparent), { kind: 'http', traceparent })
  const written = whenWritten(services.topics.find(key))
  return { kind: 'accepted', receivers, ...(written === undefined ? {} : { written }) }
}

/** Settles when the messages of the topic are written to its sockets; `undefined`: they are. An answer over HTTP waits for it. */
function whenWritten(topic: Topic | undefined): Promise<void> | undefined {
  if (topic === undefined) return undefined
  let isWritten = false
  let resolve = (): void => {}
  topic.inOrder(() => {
    isWritten = true
    resolve()
  })
  return isWritten ? undefined : new Promise((settle) => (resolve = settle))
}

/** Publishes a message of the database. Returns the number of receivers on this node. */
export function publishTrusted({ publisher }: Services, request: TrustedPublish): number {
  const { commit = null, committedAt = null, traceparent = null } = request
  return publisher.publish(keyOf(request), messageOf(request, traceparent), { kind: 'database', commit, committedAt, traceparent })
}

function keyOf({ subTopic, private: isPrivate }: TrustedPublish): { readonly name: string; readonly private: boolean } {
  return { name: subTopic, private: isPrivate }
}

function messageOf({ event, payload, id, form }: TrustedPublish, traceparent: string | null): TopicMessage {
  const meta = { ...(id === undefined ? {} : { id }), ...(traceparent === null ? {} : { traceparent }) }
  const metadata = Object.keys(meta).length === 0 ? null : meta
  return { kind: 'user', broadcast: { event, metadata, ...payload }, asText: form === 'text' }
}
