import type { DecisionCode } from '../../decision-code.ts'
import { wireTopic } from '@tidewire/protocol'
import type { Context, MiddlewareHandler } from 'hono'
import { describeTokenRefusal } from '../../auth/token.ts'
import type { Limits } from '../../limits/limits.ts'
import { RateCounter } from '../../limits/rate-counter.ts'
import type { Identity, Observer, Publish, PublishOutcome, PublishRequest, Runtime } from '../../ports.ts'
import { batchEntries, batchMessages, mediaType, payloadTooLarge, singleFaults, singlePayload } from './broadcast-body.ts'
import { httpIdentity, type HttpIdentityDeps } from './http-identity.ts'
import { RequestBodies } from './request-body.ts'

export interface BroadcastEndpointDeps extends HttpIdentityDeps {
  readonly runtime: Pick<Runtime, 'now' | 'uptime'>
  readonly publish: Publish
  readonly limits: Limits
  readonly observer: Pick<Observer, 'decision'>
}

/** More than this in one batch is refused even where there are no limits: the answer names the faults of each. */
const MAX_BATCH = 10_000

const RETRY_AFTER = { 'retry-after': '5' }

/** Broadcasts over HTTP (rules H2, H3): a batch, or one message with its topic and event in the path. */
export class BroadcastEndpoint {
  readonly #deps: BroadcastEndpointDeps
  readonly #bodies: RequestBodies
  readonly #requests: RateCounter
  readonly #messages: RateCounter

  constructor(deps: BroadcastEndpointDeps) {
    const { limits, runtime } = deps
    this.#deps = deps
    this.#bodies = new RequestBodies({ maxBytes: limits.maxBodyBytes })
    this.#requests = new RateCounter(limits.maxEventsPerSecond, runtime.uptime())
    this.#messages = new RateCounter(limits.maxEventsPerSecond, runtime.uptime())
  }

  /** Tells callers how near the limit is; nothing where there is none. */
  readonly rateHeaders: MiddlewareHandler = async (c, next) => {
    await next()
    const limit = this.#deps.limits.maxEventsPerSecond
    if (limit === Infinity) return
    const rolling = Math.round(this.#requests.perSecond(this.#deps.runtime.uptime()))
    c.header('x-rate-limit', String(limit))
    c.header('x-rate-limit-remaining', String(Math.max(0, limit - rolling)))
    c.header('x-rate-rolling', String(rolling))
  }

  readonly batch = (c: Context): Promise<Response> =>
    this.#admitted(c, (identity) =>
      this.#bodies.use(c.req.raw, async (body) => {
        if (!body.ok) return this.#refuse(c, body.status, body.code, { message: body.message })
        const found = batchEntries(mediaType(c.req.header('content-type')), body.bytes)
        if (found.kind === 'not-json') return this.#notJson(c)
        if (found.kind === 'invalid') return this.#invalid(c, { messages: found.messages })
        const excess = this.#excess(found.entries.length)
        if (excess !== null) return this.#tooMany(c, excess)
        const batch = batchMessages(found, this.#deps.limits.maxPayloadBytes)
        if (!batch.ok) return this.#invalid(c, { messages: batch.faults })
        this.#messages.add(this.#deps.runtime.uptime(), batch.messages.length)
        return this.#publishAll(
          c,
          batch.messages.map((message) => ({ ...message, identity })),
        )
      }),
    )

  readonly single = (c: Context): Promise<Response> =>
    this.#admitted(c, (identity) => {
      const type = mediaType(c.req.header('content-type'))
      if (type !== 'application/json' && type !== 'application/octet-stream')
        return this.#refuse(c, 415, 'unsupported-media-type', {
          error: 'Unsupported Media Type. Use application/json or application/octet-stream',
        })
      return this.#bodies.use(c.req.raw, (body) => {
        if (!body.ok) return this.#refuse(c, body.status, body.code, { message: body.message })
        const subTopic = c.req.param('topic')!
        const event = c.req.param('event')!
        const payload = singlePayload(type, body.bytes)
        if (payload === null) return this.#notJson(c)
        const faults = singleFaults(wireTopic(subTopic), subTopic, event)
        if (Object.keys(faults).length > 0) return this.#invalid(c, faults)
        const excess = this.#excess(1)
        if (excess !== null) return this.#tooMany(c, excess)
        this.#messages.add(this.#deps.runtime.uptime())
        return this.#publishOne(c, { subTopic, event, private: c.req.query('private') === 'true', payload, form: 'user', identity })
      })
    })

  /** Only callers with a good token count against the rate, so that nobody without one can use it up for the others. */
  async #admitted(c: Context, work: (identity: Identity) => Response | Promise<Response>): Promise<Response> {
    const caller = await httpIdentity(c, this.#deps)
    if (!caller.ok) {
      const { code, detail } = describeTokenRefusal(caller.refusal)
      return this.#refuse(c, 401, code, { message: 'Unauthorized' }, detail)
    }
    if (this.#requests.add(this.#deps.runtime.uptime())) return this.#tooMany(c, 'Too many requests')
    return work(caller.identity)
  }

  /** In order, as messages to one topic must arrive. What is denied in a batch is dropped (rule H2). */
  async #publishAll(c: Context, requests: readonly PublishRequest[]): Promise<Response> {
    for (const request of requests) {
      const outcome = await this.#publish(request)
      if (outcome.kind === 'too-large') return this.#invalid(c, payloadTooLarge)
      if (outcome.kind === 'rate-limited') return this.#tooMany(c, EXCEEDED)
      if (outcome.kind === 'unavailable') return c.json({ message: outcome.message }, 503, RETRY_AFTER)
    }
    return accepted(c)
  }

  async #publishOne(c: Context, request: PublishRequest): Promise<Response> {
    const outcome = await this.#publish(request)
    switch (outcome.kind) {
      case 'accepted':
        return accepted(c)
      case 'denied':
        return c.json({ message: 'Unauthorized' }, 403)
      case 'too-large':
        return this.#invalid(c, payloadTooLarge)
      case 'rate-limited':
        return this.#tooMany(c, EXCEEDED)
      case 'unavailable':
        return c.json({ message: outcome.message }, 503, RETRY_AFTER)
    }
  }

  async #publish(request: PublishRequest): Promise<PublishOutcome> {
    const outcome = await this.#deps.publish(request)
    if (outcome.kind === 'denied' || outcome.kind === 'unavailable')
      this.#deps.observer.decision({
        kind: 'publish-refused',
        code: outcome.kind === 'denied' ? 'unauthorized' : 'authorizer-unavailable',
        detail: outcome.kind === 'denied' ? `role ${JSON.stringify(request.identity.role)} may not send to this topic` : outcome.message,
        topic: wireTopic(request.subTopic),
        private: request.private,
      })
    return outcome
  }

  /** Why so many more messages are too many, or `null`. */
  #excess(count: number): string | null {
    const limit = this.#deps.limits.maxEventsPerSecond
    const rate = this.#messages.perSecond(this.#deps.runtime.uptime())
    if (rate >= limit) return EXCEEDED
    return count > MAX_BATCH || count + rate > limit ? 'Too many messages to broadcast, please reduce the batch size' : null
  }

  #tooMany(c: Context, message: string): Response {
    return this.#refuse(c, 429, 'rate-limited', { message }, message, RETRY_AFTER)
  }

  #invalid(c: Context, errors: object): Response {
    return this.#refuse(c, 422, 'invalid-body', { errors }, `the fields ${Object.keys(errors).join(', ')} are not valid`)
  }

  #notJson(c: Context): Response {
    this.#observe('malformed-json', 'the body is not JSON')
    return c.text('Bad Request', 400)
  }

  #refuse(
    c: Context,
    status: 400 | 401 | 413 | 415 | 422 | 429 | 503,
    code: DecisionCode,
    body: { readonly message: string } | { readonly error: string } | { readonly errors: object },
    detail: string = 'message' in body ? body.message : code,
    headers: Record<string, string> = {},
  ): Response {
    this.#observe(code, detail)
    return c.json(body, status, headers)
  }

  #observe(code: DecisionCode, detail: string): void {
    this.#deps.observer.decision({ kind: 'http-refused', code, detail })
  }
}

function accepted(c: Context): Response {
  return c.body(null, 202, { 'content-length': '0' })
}

const EXCEEDED = 'You have exceeded your rate limit'
