import type { IncomingMessage, ServerResponse } from 'node:http'
import type { DecisionCode } from '../../decision-code.ts'
import { wireTopic } from '@tidewire/protocol'
import { describeTokenRefusal } from '../../auth/token.ts'
import type { Limits } from '../../limits/limits.ts'
import { RateCounter } from '../../limits/rate-counter.ts'
import type { Identity, Observer, Publish, PublishOutcome, PublishRequest, Runtime } from '../../ports.ts'
import {
  batchEntries,
  BatchReader,
  mediaType,
  payloadTooLarge,
  singleFaults,
  singlePayload,
  unsupportedOptions,
  type BroadcastMessage,
} from './broadcast-body.ts'
import { broadcastRoute, type BroadcastRoute } from './broadcast-route.ts'
import { CORS } from './cors.ts'
import { writeAnswer, type HttpAnswer } from './http-answer.ts'
import { httpIdentity, type HttpIdentityDeps } from './http-identity.ts'
import { LoopShare } from './loop-share.ts'
import { RequestBodies } from './request-body.ts'

export interface BroadcastEndpointDeps extends HttpIdentityDeps {
  readonly runtime: Pick<Runtime, 'now' | 'uptime' | 'setTimer' | 'endOfTurn'>
  readonly publish: Publish
  readonly limits: Limits
  readonly observer: Pick<Observer, 'decision'>
}

/** Larger batches are refused even without limits: an answer may name faults of every message. */
const MAX_BATCH = 10_000

const RETRY_AFTER = { 'retry-after': '5' }

/**
 * Broadcasts over HTTP (rules H2, H3): a batch, or one message with its topic and event in the path. This is how backends publish,
 * so it stands on Node's requests and responses: building those of `fetch` takes longer than all the rest.
 */
export class BroadcastEndpoint {
  readonly #deps: BroadcastEndpointDeps
  readonly #bodies: RequestBodies
  readonly #requests: RateCounter
  readonly #messages: RateCounter

  constructor(deps: BroadcastEndpointDeps) {
    const { limits, runtime } = deps
    this.#deps = deps
    this.#bodies = new RequestBodies({ runtime, maxBytes: limits.maxBodyBytes })
    this.#requests = new RateCounter(limits.maxEventsPerSecond, runtime.uptime())
    this.#messages = new RateCounter(limits.maxEventsPerSecond, runtime.uptime())
  }

  /** Answers a request of the broadcast API. Returns `false` for all others. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const route = request.method === 'POST' ? broadcastRoute(request.url ?? '') : null
    if (route === null) return false
    this.#answer(request, route)
      .catch((error: unknown): HttpAnswer => {
        this.#observe('internal-error', error instanceof Error ? error.message : String(error))
        return { status: 500, body: { message: 'Internal Server Error' } }
      })
      .then((answer) => writeAnswer(request, response, { ...answer, headers: { ...CORS, ...this.rateHeaders(), ...answer.headers } }))
      .catch(() => response.destroy())
    return true
  }

  /** The rate and its limit; none where there is no limit. */
  rateHeaders(): Readonly<Record<string, string>> {
    const limit = this.#deps.limits.maxEventsPerSecond
    if (limit === Infinity) return NO_HEADERS
    const rolling = Math.round(this.#requests.perSecond(this.#deps.runtime.uptime()))
    return {
      'x-rate-limit': String(limit),
      'x-rate-limit-remaining': String(Math.max(0, limit - rolling)),
      'x-rate-rolling': String(rolling),
    }
  }

  /** Only callers with a good token count against the rate, so that callers without one cannot use it up. */
  async #answer(request: IncomingMessage, route: BroadcastRoute): Promise<HttpAnswer> {
    const { headers } = request
    const caller = await httpIdentity(headers, this.#deps)
    if (!caller.ok) {
      const { code, detail } = describeTokenRefusal(caller.refusal)
      return this.#refuse(401, code, { message: 'Unauthorized' }, detail)
    }
    if (this.#requests.add(this.#deps.runtime.uptime())) return this.#tooMany('Too many requests')
    const type = mediaType(headers['content-type'])
    if (route.kind === 'single' && !isSingleType(type))
      return this.#refuse(415, 'unsupported-media-type', {
        error: 'Unsupported Media Type. Use application/json or application/octet-stream',
      })
    return this.#bodies.use(request, caller.token, (body) => {
      if (!body.ok)
        return this.#refuse(body.status, body.code, { message: body.message }, body.message, body.status === 503 ? RETRY_AFTER : {})
      return route.kind === 'batch'
        ? this.#batch(caller.identity, type, body.bytes)
        : this.#single(caller.identity, route, type, body.bytes)
    })
  }

  async #batch(identity: Identity, type: string, body: Buffer): Promise<HttpAnswer> {
    const share = new LoopShare(this.#deps.runtime)
    const found = await share.finish(batchEntries(type, body))
    if (found.kind === 'not-json') return this.#notJson()
    if (found.kind === 'invalid') return this.#invalid({ messages: found.messages })
    const excess = this.#excess(found.entries.length)
    if (excess !== null) return this.#tooMany(excess)
    const reader = new BatchReader(this.#deps.limits.maxPayloadBytes)
    for (const entry of found.entries) {
      if (share.isUsedUp) await share.nextTurn()
      reader.read(entry)
    }
    const { batch } = reader
    if (!batch.ok) return this.#invalid({ messages: batch.faults })
    // Others may have come in the meantime.
    const excessNow = this.#excess(found.entries.length)
    if (excessNow !== null) return this.#tooMany(excessNow)
    this.#messages.add(this.#deps.runtime.uptime(), batch.messages.length)
    return this.#publishAll(batch.messages, identity, share)
  }

  async #single(
    identity: Identity,
    { subTopic, event, query }: Extract<BroadcastRoute, { kind: 'single' }>,
    type: string,
    body: Buffer,
  ): Promise<HttpAnswer> {
    const share = new LoopShare(this.#deps.runtime)
    const payload = await share.finish(singlePayload(type === 'application/json' ? type : 'application/octet-stream', body))
    if (payload === null) return this.#notJson()
    const faults = { ...singleFaults(wireTopic(subTopic), subTopic, event), ...unsupportedOptions(Object.fromEntries(query)) }
    if (Object.keys(faults).length > 0) return this.#invalid(faults)
    const excess = this.#excess(1)
    if (excess !== null) return this.#tooMany(excess)
    this.#messages.add(this.#deps.runtime.uptime())
    return this.#publishOne({ subTopic, event, private: query.get('private') === 'true', payload, form: 'user', identity })
  }

  /** Publishes in order. Messages of a batch that policies deny are dropped (rule H2). */
  async #publishAll(messages: readonly BroadcastMessage[], identity: Identity, share: LoopShare): Promise<HttpAnswer> {
    let receivers = 0
    const written: Promise<void>[] = []
    for (const message of messages) {
      if (share.isUsedUp) await share.nextTurn()
      const outcome = await this.#publish({ ...message, identity })
      if (outcome.kind === 'too-large') return this.#invalid(payloadTooLarge)
      if (outcome.kind === 'rate-limited') return this.#tooMany(EXCEEDED)
      if (outcome.kind === 'unavailable') return { status: 503, body: { message: outcome.message }, headers: RETRY_AFTER }
      if (outcome.kind === 'denied') continue
      receivers += outcome.receivers
      if (outcome.written !== undefined) written.push(outcome.written)
    }
    if (written.length > 0) await Promise.all(written)
    return accepted(receivers)
  }

  async #publishOne(request: PublishRequest): Promise<HttpAnswer> {
    const outcome = await this.#publish(request)
    switch (outcome.kind) {
      case 'accepted':
        if (outcome.written !== undefined) await outcome.written
        return accepted(outcome.receivers)
      case 'denied':
        return { status: 403, body: { message: 'Unauthorized' } }
      case 'too-large':
        return this.#invalid(payloadTooLarge)
      case 'rate-limited':
        return this.#tooMany(EXCEEDED)
      case 'unavailable':
        return { status: 503, body: { message: outcome.message }, headers: RETRY_AFTER }
    }
  }

  async #publish(request: PublishRequest): Promise<PublishOutcome> {
    const outcome = await this.#deps.publish(request)
    if (outcome.kind === 'denied' || outcome.kind === 'unavailable')
      this.#deps.observer.decision({
        kind: 'publish-refused',
        code: outcome.kind === 'denied' ? 'unauthorized' : 'authorizer-unavailable',
        detail: outcome.kind === 'denied' ? deniedDetail(request, outcome.detail) : outcome.message,
        topic: wireTopic(request.subTopic),
        private: request.private,
      })
    return outcome
  }

  /** Says why `count` more messages are too many, or `null`. */
  #excess(count: number): string | null {
    const limit = this.#deps.limits.maxEventsPerSecond
    const rate = this.#messages.perSecond(this.#deps.runtime.uptime())
    if (rate >= limit) return EXCEEDED
    return count > MAX_BATCH || count + rate > limit ? 'Too many messages to broadcast, please reduce the batch size' : null
  }

  #tooMany(message: string): HttpAnswer {
    return this.#refuse(429, 'rate-limited', { message }, message, RETRY_AFTER)
  }

  #invalid(errors: object): HttpAnswer {
    return this.#refuse(422, 'invalid-body', { errors }, `the fields ${Object.keys(errors).join(', ')} are not valid`)
  }

  #notJson(): HttpAnswer {
    this.#observe('malformed-json', 'the body is not JSON')
    return { status: 400, body: 'Bad Request' }
  }

  #refuse(
    status: number,
    code: DecisionCode,
    body: { readonly message: string } | { readonly error: string } | { readonly errors: object },
    detail: string = 'message' in body ? body.message : code,
    headers: Readonly<Record<string, string>> = {},
  ): HttpAnswer {
    this.#observe(code, detail)
    return { status, body, headers }
  }

  #observe(code: DecisionCode, detail: string): void {
    this.#deps.observer.decision({ kind: 'http-refused', code, detail })
  }
}

function isSingleType(type: string): boolean {
  return type === 'application/json' || type === 'application/octet-stream'
}

function deniedDetail({ identity }: PublishRequest, why: string | undefined): string {
  return `role ${JSON.stringify(identity.role)} may not send to this topic${why === undefined ? '' : ` (${why})`}`
}

/** The number of receivers is in a header, so that the body is that of the reference. */
function accepted(receivers: number): HttpAnswer {
  return { status: 202, body: null, headers: { 'tidewire-receivers': String(receivers) } }
}

const EXCEEDED = 'You have exceeded your rate limit'
const NO_HEADERS = {}
