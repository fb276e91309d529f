import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import { allObservers } from '../src/all-observers.ts'
import { httpApi, type HttpApiDeps } from '../src/io/http/http-api.ts'
import { tokenVerifier } from '../src/io/tokens/token-verifier.ts'
import { defaultLimits, type Limits } from '../src/limits/limits.ts'
import type { Decision, PublishOutcome, PublishRequest } from '../src/ports.ts'

export const NOW_MS = 1_700_000_000_000
const SECRET = 'a-secret-of-more-than-thirty-two-characters'

export const MESSAGE = { topic: 'h1', event: 'e', payload: { a: 1 } }

export function batch(...messages: unknown[]): { messages: unknown[] } {
  return { messages }
}

export function jwt(claims: Record<string, unknown>, secret = SECRET): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret))
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

/** The HTTP API on a port of 127.0.0.1. A test says what becomes of what is published, and what time it is. */
export class ApiServer {
  readonly decisions: Decision[] = []
  readonly published: PublishRequest[] = []
  outcome: (request: PublishRequest) => PublishOutcome = () => ({ kind: 'accepted', receivers: 1 })
  uptime = 1_000
  draining = false
  /** How often the event loop was given back. */
  turns = 0
  /** Of `anon`, good for a minute. */
  token = ''
  #server: Server | null = null

  get port(): number {
    return (this.#server!.address() as AddressInfo).port
  }

  /** In place of the one that runs. */
  async open(limits: Partial<Limits> = {}, deps: Partial<HttpApiDeps> = {}): Promise<void> {
    await this.close()
    this.token = await jwt({ role: 'anon', exp: NOW_MS / 1000 + 60 })
    const api = httpApi({
      verifier: tokenVerifier({ secret: SECRET }),
      runtime: {
        now: () => NOW_MS,
        uptime: () => this.uptime,
        setTimer,
        endOfTurn: (callback) => {
          this.turns++
          setImmediate(callback)
        },
      },
      publish: (request) => {
        this.published.push(request)
        return Promise.resolve(this.outcome(request))
      },
      limits: { ...defaultLimits, ...limits },
      observer: { ...allObservers([]), decision: (decision) => this.decisions.push(decision) },
      metrics: { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: () => Promise.resolve('up 1\n') },
      metricsVerifier: null,
      feedProgress: () => null,
      isCutOff: () => false,
      checkUpgrade: (apiKey) =>
        Promise.resolve(apiKey === this.token ? null : { status: 401, text: 'The token provided is not a valid JWT' }),
      draining: () => this.draining,
      ...deps,
    })
    const server = createServer(api)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    this.#server = server
  }

  async close(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  async call(path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, init)
    return { status: response.status, headers: response.headers, body: await response.text() }
  }

  post(path: string, body: unknown, headers: Record<string, string> = { apikey: this.token }): Promise<Answer> {
    const given = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
    return this.call(path, { method: 'POST', body: given as BodyInit, headers: { 'content-type': 'application/json', ...headers } })
  }
}

function setTimer(callback: () => void, afterMs: number): { cancel(): void } {
  const timer = setTimeout(callback, afterMs)
  return { cancel: () => clearTimeout(timer) }
}
