import type { Authorization, Authorizer, Claims, Identity } from '@tidewire/server'
import type pg from 'pg'
import { loadJoinPolicies } from '../src/io/catalog/join-policies.ts'
import { nodeRuntime } from '../src/io/node-runtime.ts'
import { databasePool, type DatabasePool } from '../src/io/sessions/session-pool.ts'
import type { Queryable } from '../src/catalog/queryable.ts'
import { authorizeByPolicies } from '../src/messages/authorizer.ts'

export const identity = (claims: Claims, headers: Readonly<Record<string, string>> = {}, role = 'authenticated'): Identity => ({
  role,
  claims: { role, ...claims },
  headers,
})

/** Asks the policies of a database, and notes what it is asked. One batch at a time. */
export class AskedPolicies {
  /** Of each batch, how many questions it had. */
  batches: number[] = []
  /** Added to the clock. */
  aheadMs = 0
  /** Runs before each batch has its session. */
  beforeBatch: () => Promise<void> = () => Promise.resolve()
  /** Of the policies, the last time. */
  loading: Promise<unknown> = Promise.resolve()
  readonly authorizer: Authorizer
  readonly #pool: DatabasePool
  readonly #sessions = new WeakMap<pg.ClientBase, Queryable>()

  constructor(url: string) {
    this.#pool = databasePool({ url, maxConnections: 3, connectTimeoutMs: 2_000 })
    this.authorizer = authorizeByPolicies({
      withSession: async (work) => {
        await this.beforeBatch()
        return this.#pool.withSession((session) => work(this.#watched(session)))
      },
      loadPolicies: () => {
        const loading = this.#pool.withSession(loadJoinPolicies)
        this.loading = loading
        return loading
      },
      runtime: { ...nodeRuntime, uptime: () => nodeRuntime.uptime() + this.aheadMs },
    })
  }

  /** Asks for all in one turn. */
  async readAll(identities: readonly Identity[], subTopic = 'red'): Promise<boolean[]> {
    this.batches = []
    const answers = await Promise.all(identities.map((each) => this.authorizer.read({ subTopic, identity: each })))
    return answers.map((answer: Authorization) => answer.ok && answer.broadcast && answer.presence)
  }

  get questions(): number {
    return this.batches.reduce((sum, each) => sum + each, 0)
  }

  /** Asks, and waits until the policies are known. */
  async learn(): Promise<void> {
    await this.readAll([identity({ sub: 'nobody' })], 'no such room')
    await this.loading
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }

  /** The same for the same session: the authorizer remembers what a session has. */
  #watched(session: pg.ClientBase): Queryable {
    let watched = this.#sessions.get(session)
    if (watched === undefined) this.#sessions.set(session, (watched = { query: (text) => this.#query(session, text) }))
    return watched
  }

  #query(session: pg.ClientBase, text: string): Promise<{ rows: unknown[] }> {
    const questions = /tidewire_authorize\( E'(\[.*?\])', /.exec(text)?.[1]
    if (questions !== undefined) this.batches.push(questions.split('"command":').length - 1)
    return session.query(text)
  }
}
