import type { PolicyReach } from '../catalog/catalog-table.ts'
import type { ClaimsUse } from '../catalog/policy-analysis.ts'
import type { FeedRuntime } from '../feed-runtime.ts'

/** What the SELECT policies of `realtime.messages` read of a token, as of one version of them. */
export interface JoinPolicies {
  readonly claims: ClaimsUse
  /** All that they reach: what the version is made of. */
  readonly reach: PolicyReach
  readonly version: string
}

/** Policies that change all the time are read again so often, and no more. */
const LOAD_EVERY_MS = 1_000

/**
 * What is known of the policies. It is out of date whenever somebody alters them, so each batch compares versions after its
 * questions, and an answer for several identities counts only if nothing had changed.
 */
export class KnownPolicies {
  readonly #load: () => Promise<JoinPolicies>
  readonly #runtime: Pick<FeedRuntime, 'uptime'>
  #current: JoinPolicies | null = null
  #isLoading = false
  #loadedAt = -Infinity

  constructor(load: () => Promise<JoinPolicies>, runtime: Pick<FeedRuntime, 'uptime'>) {
    this.#load = load
    this.#runtime = runtime
  }

  /** `null`: they may read anything. */
  get current(): JoinPolicies | null {
    return this.#current
  }

  /** `version`: what a batch found; `null` where it had nothing to compare. Answers whether `policies` still hold. */
  compared(policies: JoinPolicies | null, version: string | null): boolean {
    if (policies !== null && policies.version === version) return true
    if (this.#current === policies) this.#current = null
    this.#reload()
    return false
  }

  #reload(): void {
    const now = this.#runtime.uptime()
    if (this.#isLoading || now < this.#loadedAt + LOAD_EVERY_MS) return
    this.#isLoading = true
    this.#loadedAt = now
    this.#load()
      .then(
        (policies) => (this.#current = policies),
        // Without them each identity is asked for by itself.
        () => {},
      )
      .finally(() => (this.#isLoading = false))
  }
}
