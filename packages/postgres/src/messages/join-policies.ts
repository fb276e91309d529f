import type { FeedRuntime } from '../feed-runtime.ts'

/** What the SELECT policies of `realtime.messages` read, as of one version of them and of all that they reach. */
export interface JoinPolicies {
  /** They read these claims of a token, nothing else of it, and no headers. */
  readonly claims: ReadonlySet<string>
  readonly version: string
  /** SQL of the version as it is now. */
  readonly versionSql: string
}

/** Policies that change all the time, or may read anything, are read again so often and no more. */
const LOAD_EVERY_MS = 5_000

/**
 * What is known of the policies. It is out of date whenever they are altered, so each batch compares versions after its questions,
 * and an answer for several identities counts only if nothing had changed.
 */
export class KnownPolicies {
  readonly #load: () => Promise<JoinPolicies | null>
  readonly #runtime: Pick<FeedRuntime, 'uptime'>
  #current: JoinPolicies | null = null
  #loadedAt = -Infinity
  /** One that never answers holds one session, and no more. */
  #isLoading = false

  constructor(load: () => Promise<JoinPolicies | null>, runtime: Pick<FeedRuntime, 'uptime'>) {
    this.#load = load
    this.#runtime = runtime
    this.current()
  }

  /** `null`: they may read anything. Then they are looked at in the background. */
  current(): JoinPolicies | null {
    const now = this.#runtime.uptime()
    if (this.#current === null && !this.#isLoading && now >= this.#loadedAt + LOAD_EVERY_MS) {
      this.#loadedAt = now
      this.#isLoading = true
      this.#load()
        .then(
          (policies) => (this.#current = policies),
          // Without them each identity is asked for by itself.
          () => {},
        )
        .finally(() => (this.#isLoading = false))
    }
    return this.#current
  }

  forget(policies: JoinPolicies): void {
    if (this.#current === policies) this.#current = null
  }
}
