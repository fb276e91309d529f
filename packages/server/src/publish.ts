import { traceparentOf, wireTopic } from '@tidewire/protocol'
import type { Services } from './channel/services.ts'
import type { PublishOutcome, PublishRequest, Tracer } from './ports.ts'
import type { TopicMessage } from './ports/topic.ts'
import type { Topic } from './topic/topic.ts'

/** A message from inside: it was allowed where it came from, by the database or by a peer node. */
export type TrustedPublish = Omit<PublishRequest, 'identity'> & {
  /** As in rule B9, already checked. */
  readonly traceparent?: string | null
  /** When it was committed, in milliseconds since 1970 by the clock of the database: its span begins there. */
  readonly committedAt?: number
}

/** A message that the database keeps under an id. */
export type StoredPublish = TrustedPublish & { readonly id: string }

/** A broadcast that does not come over a socket: checked like one, then sent to the topic. */
export async function publish(services: Services, request: PublishRequest): Promise<PublishOutcome> {
  if (request.payload.bytes.length > services.limits.maxPayloadBytes) return { kind: 'too-large' }
  if (request.private) {
    const allowed = await services.authorizer.write({ subTopic: request.subTopic, identity: request.identity })
    if (!allowed.ok) return { kind: 'unavailable', message: allowed.reason }
    if (!allowed.broadcast) return { kind: 'denied' }
  }
  return { kind: 'accepted', receivers: publishTrusted(services, { ...request, traceparent: traceparentOf(request.identity.headers) }) }
}

/** Sends to a topic without asking anybody. Returns the receivers on this node. What nobody gets is told to the observer like the rest. */
export function publishTrusted(services: Services, request: TrustedPublish): number {
  const topic = services.topics.find(request.subTopic, request.private)
  const written = beginSpan(services, request)
  const receivers = topic === undefined ? 0 : send(topic, request, services.runtime.uptime())
  const { event, payload } = request
  services.observer.broadcast(topic?.name ?? wireTopic(request.subTopic), receivers, payload.bytes.length, {
    kind: 'broadcast',
    private: request.private,
    connection: null,
    event,
    encoding: payload.encoding,
    payload: payload.bytes,
  })
  const committed = sinceCommit(services, request)
  if (written === undefined && committed === undefined) return receivers
  const told = (): void => {
    written?.(receivers)
    committed?.()
  }
  if (topic === undefined) told()
  else topic.inOrder(told)
  return receivers
}

function send(topic: Topic, request: TrustedPublish, uptime: number): number {
  const message = messageOf(request)
  return request.id === undefined ? topic.fanOut('broadcast', message, null) : topic.fanOutStored(request.id, message, uptime)
}

/** What tells how long a message took from its commit, where somebody asks. Clocks differ: it took no time before that. */
function sinceCommit({ observer, runtime }: Services, { committedAt }: TrustedPublish): (() => void) | undefined {
  if (committedAt === undefined || observer.storedFannedOut === undefined) return undefined
  return () => observer.storedFannedOut!(Math.max(0, runtime.now() - committedAt))
}

/** Clocks differ: a span does not begin after it is told of. */
function beginSpan(
  { tracer, runtime }: Services,
  { subTopic, payload, traceparent = null, committedAt }: TrustedPublish,
): ReturnType<Tracer['broadcast']> | undefined {
  if (tracer === null) return undefined
  const since = committedAt === undefined ? null : Math.min(committedAt, runtime.now())
  return tracer.broadcast(wireTopic(subTopic), traceparent, payload.bytes.length, since)
}

function messageOf({ event, payload, id, form, traceparent = null }: TrustedPublish): TopicMessage {
  const meta = { ...(id === undefined ? {} : { id }), ...(traceparent === null ? {} : { traceparent }) }
  const metadata = Object.keys(meta).length === 0 ? null : meta
  if (form === 'user') return { kind: 'user', broadcast: { event, metadata, ...payload } }
  const metaText = metadata === null ? '' : `"meta":${JSON.stringify(metadata)},`
  const before = Buffer.from(`{"event":${JSON.stringify(event)},${metaText}"payload":`)
  return { kind: 'text', event: 'broadcast', payload: Buffer.concat([before, payload.bytes, TYPE_BROADCAST]) }
}

const TYPE_BROADCAST = Buffer.from(',"type":"broadcast"}')
