import { traceparentOf } from '@tidewire/protocol'
import type { Services } from './channel/services.ts'
import type { PublishOutcome, PublishRequest } from './ports/messages.ts'
import type { TopicMessage } from './ports/topic.ts'

/** A message that needs no check: the database allowed it. */
export type TrustedPublish = Omit<PublishRequest, 'identity'> & {
  /** As in rule B9, already checked. */
  readonly traceparent?: string | null
  /** When it was committed, in milliseconds since 1970 by the clock of the database: its span begins there. */
  readonly committedAt?: number
}

/** A message that the database keeps under an id. */
export type StoredPublish = TrustedPublish & { readonly id: string }

/** Publishes a broadcast that came over HTTP, within the limit of bytes and if the policies of a private topic allow it. */
export async function publish(services: Services, request: PublishRequest): Promise<PublishOutcome> {
  if (request.payload.bytes.length > services.limits.maxPayloadBytes) return { kind: 'too-large' }
  if (request.private) {
    const allowed = await services.authorizer.write({ subTopic: request.subTopic, identity: request.identity })
    if (!allowed.ok) return { kind: 'unavailable', message: allowed.reason }
    if (!allowed.broadcast) return { kind: 'denied' }
  }
  const traceparent = traceparentOf(request.identity.headers)
  const message = messageOf(request, traceparent)
  return { kind: 'accepted', receivers: services.publisher.publish(keyOf(request), message, { kind: 'http', traceparent }) }
}

/** Publishes a message of the database. Returns the receivers on this node. */
export function publishTrusted({ publisher }: Services, request: TrustedPublish): number {
  const { id = null, committedAt = null, traceparent = null } = request
  return publisher.publish(keyOf(request), messageOf(request, traceparent), { kind: 'database', id, committedAt, traceparent })
}

function keyOf({ subTopic, private: isPrivate }: TrustedPublish): { readonly name: string; readonly private: boolean } {
  return { name: subTopic, private: isPrivate }
}

function messageOf({ event, payload, id, form }: TrustedPublish, traceparent: string | null): TopicMessage {
  const meta = { ...(id === undefined ? {} : { id }), ...(traceparent === null ? {} : { traceparent }) }
  const metadata = Object.keys(meta).length === 0 ? null : meta
  return { kind: 'user', broadcast: { event, metadata, ...payload }, asText: form === 'text' }
}
