import { isJsonObject, jsonValue, utf8Text } from '@tidewire/protocol'
import type { JWK } from 'jose'
import { readAll } from '../http/read-all.ts'

/** The members that a verification needs. Left out: private ones, and those that restrict the use of a key. */
const PUBLIC_MEMBERS = ['kty', 'kid', 'crv', 'x', 'y', 'n', 'e', 'k'] as const

/** Reads `{ keys: […] }`. Entries that cannot be keys are left out; `null` when it is no key set at all. */
export function parseKeySet(value: unknown): readonly JWK[] | null {
  if (!isJsonObject(value) || !Array.isArray(value['keys'])) return null
  const entries = value['keys'] as unknown[]
  return entries.filter(isJsonObject).map((entry) => {
    const members = PUBLIC_MEMBERS.filter((name) => typeof entry[name] === 'string').map((name) => [name, entry[name]])
    return Object.fromEntries(members) as JWK
  })
}

export interface RemoteKeySetOptions {
  readonly url: string
  readonly timeoutMs: number
  /** Older keys are fetched again in the background. */
  readonly maxAgeMs: number
  /** The least time between two fetches. */
  readonly cooldownMs: number
  /** Monotonic milliseconds. */
  readonly uptime: () => number
  /** Called with the reason of a failed fetch, at most once a cooldown. Must not throw. */
  readonly onFault: (detail: string) => void
}

const MAX_KEY_SET_BYTES = 1_048_576

/** The cooldown while there are no keys at all, and every token is refused. */
const FIRST_COOLDOWN_MS = 1_000

/**
 * Keys behind a URL. An unknown key starts a fetch, so that rotation is noticed; a flood of unknown keys
 * costs one fetch a cooldown. While the URL cannot be reached, the last keys stay good.
 */
export class RemoteKeySet {
  readonly #options: RemoteKeySetOptions
  #keys: readonly JWK[] | null = null
  #loadedAt = -Infinity
  #triedAt = -Infinity
  #loading: Promise<void> | null = null
  /** Rises whenever other keys were fetched. */
  generation = 0

  constructor(options: RemoteKeySetOptions) {
    this.#options = options
  }

  /** The first key for which the test holds. Never rejects. */
  async find(matches: (key: JWK) => boolean): Promise<JWK | undefined> {
    const known = this.#keys?.find(matches)
    if (known !== undefined) return known
    await this.#refresh()
    return this.#keys?.find(matches)
  }

  /** Starts to fetch the keys again if they are old; callers do not wait for it. */
  keepFresh(): void {
    if (this.#keys !== null && this.#options.uptime() - this.#loadedAt > this.#options.maxAgeMs) void this.#refresh()
  }

  #refresh(): Promise<void> {
    if (this.#loading !== null) return this.#loading
    const { uptime, cooldownMs } = this.#options
    const cooldown = this.#keys === null ? Math.min(cooldownMs, FIRST_COOLDOWN_MS) : cooldownMs
    if (uptime() - this.#triedAt < cooldown) return Promise.resolve()
    this.#triedAt = uptime()
    this.#loading = this.#load().finally(() => (this.#loading = null))
    return this.#loading
  }

  async #load(): Promise<void> {
    const { url, timeoutMs, uptime, onFault } = this.#options
    try {
      const keys = await fetchKeySet(url, timeoutMs)
      this.#loadedAt = uptime()
      if (JSON.stringify(keys) === JSON.stringify(this.#keys)) return
      this.#keys = keys
      this.generation++
    } catch (error) {
      onFault(`the key set could not be fetched: ${reason(error)}`)
    }
  }
}

async function fetchKeySet(url: string, timeoutMs: number): Promise<readonly JWK[]> {
  const response = await fetch(url, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  })
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel()
    throw new Error(`status ${response.status} instead of 200`)
  }
  let size = 0
  const body = await readAll(response.body, (bytes) => (size += bytes) <= MAX_KEY_SET_BYTES)
  if (body === null) throw new Error(`it is over ${MAX_KEY_SET_BYTES} bytes`)
  const keys = parseKeySet(jsonValue(utf8Text(body)))
  if (keys === null) throw new Error('it is not {"keys": […]}')
  return keys
}

/** The error of `fetch` has the reason in its cause. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message
}
