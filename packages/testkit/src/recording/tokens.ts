import { createHmac } from 'node:crypto'
import { isJsonObject, type JsonObject } from '@tidewire/protocol'

/** What the tokens inside the recorded frames are signed with. */
export const RECORDED_SECRET = 'super-secret-jwt-token-with-at-least-32-characters-long'

const WRONG_SECRET = 'not-the-secret-that-the-server-knows-of-at-all'
const JWT = /eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*/g
const REPLAY_SINCE = /("replay":\{"since":)(\d{13})/g
const MASK = /<jwt(?: ([^>]*))?>/g

const EXPIRED_FOR_S = 100
const VALID_FOR_S = 3600
const SOON_S = 2

/** An HS256 token. */
export function signToken(claims: JsonObject, secret: string): string {
  return signed(part({ alg: 'HS256', typ: 'JWT' }), part(claims), secret)
}

/**
 * Makes the tokens of a recording valid again, or as invalid as they were: the same claims with `exp`, `iat` and `nbf`
 * moved to the present, signed with the server's secret, or with another where the recorded signature was bad. What was
 * one token stays one token.
 */
export class TokenRenewal {
  readonly #secret: string
  readonly #startedAt: number
  readonly #now: () => number
  readonly #renewed = new Map<string, string>()

  /** `startedAt` and `now` in Unix seconds. */
  constructor(secret: string, startedAt: number, now: () => number = () => Date.now() / 1000) {
    this.#secret = secret
    this.#startedAt = startedAt
    this.#now = now
  }

  /** Replaces masked tokens, and `badSignature` says that their signature was wrong: the mask does not. */
  unmask(text: string, badSignature: boolean): string {
    return text.replaceAll(MASK, (mask, list: string | undefined) =>
      this.#once(`${mask} ${badSignature}`, () => signToken(this.#maskedClaims(list ?? 'role=anon exp=future'), this.#key(badSignature))),
    )
  }

  /** Replaces the tokens in a frame that was recorded `tMs` after the start, and the times that replay is asked from. */
  renew(text: string, tMs: number): string {
    const recordedAt = this.#startedAt + tMs / 1000
    return text
      .replaceAll(JWT, (token) => this.#once(token, () => this.#renewed1(token, recordedAt)))
      .replaceAll(REPLAY_SINCE, (_, key: string, since: string) => key + Math.round(Number(since) + (this.#now() - recordedAt) * 1000))
  }

  #once(name: string, make: () => string): string {
    const known = this.#renewed.get(name)
    if (known !== undefined) return known
    const token = make()
    this.#renewed.set(name, token)
    return token
  }

  #renewed1(token: string, recordedAt: number): string {
    const [head, body, signature] = token.split('.') as [string, string, string]
    const header = decoded(head)
    const claims = decoded(body)
    if (header === null || claims === null) return token
    const shift = Math.round(this.#now() - recordedAt)
    const moved = part({ ...claims, ...timesMoved(claims, shift) })
    if (header['alg'] !== 'HS256') return `${head}.${moved}.${signature}`
    return signed(head, moved, this.#key(signed(head, body, RECORDED_SECRET) !== token))
  }

  #key(bad: boolean): string {
    return bad ? WRONG_SECRET : this.#secret
  }

  #maskedClaims(list: string): JsonObject {
    const claims: Record<string, unknown> = {}
    for (const item of list.split(' ')) {
      const [name, value] = item.split('=') as [string, string]
      claims[name] = name === 'exp' ? this.#expiry(value) : value
    }
    return claims
  }

  #expiry(word: string): number {
    const now = Math.floor(this.#now())
    switch (word) {
      case 'past':
        return now - EXPIRED_FOR_S
      case 'soon':
        return now + SOON_S
      default:
        return now + VALID_FOR_S
    }
  }
}

/** A claim keeps its type: an `exp` that was a string stays one. */
function timesMoved(claims: JsonObject, shift: number): JsonObject {
  const moved: Record<string, unknown> = {}
  for (const name of ['exp', 'iat', 'nbf']) {
    const value = claims[name]
    if (typeof value === 'number') moved[name] = value + shift
    else if (typeof value === 'string') moved[name] = String(Number(value) + shift)
  }
  return moved
}

function part(value: JsonObject): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decoded(text: string): JsonObject | null {
  const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
  return isJsonObject(value) ? value : null
}

function signed(head: string, body: string, secret: string): string {
  return `${head}.${body}.${createHmac('sha256', secret).update(`${head}.${body}`).digest('base64url')}`
}
