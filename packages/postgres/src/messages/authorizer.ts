import type { Authorization, AuthorizationRequest, Authorizer, Claims, Identity } from '@tidewire/server'
import { claimsText } from '../catalog/identity.ts'
import { databaseReason } from '../database-reason.ts'
import type { FeedRuntime } from '../feed-runtime.ts'
import { AuthorizationQueue, type Outcome } from './authorization-queue.ts'
import {
  batchSql,
  CREATE_FUNCTIONS,
  RESULTS,
  rolesOf,
  wellFormed,
  type BatchTimes,
  type Command,
  type PolicyAnswer,
  type PolicyQuestion,
} from './authorization-sql.ts'
import { KnownPolicies, type JoinPolicies } from './join-policies.ts'

/** A session of its own for a transaction; the pools of `pg` give it. */
export interface PolicySession {
  /** Several statements in one text give an array of results. */
  query(text: string): Promise<unknown>
}

/** What the authorizer asks the database with. */
export interface AuthorizerOptions {
  /** Runs `work` on a session that is used for nothing else meanwhile; rejects when none can be had. */
  withSession<T>(work: (session: PolicySession) => Promise<T>): Promise<T>
  /** What the SELECT policies read of a token. */
  loadPolicies(): Promise<JoinPolicies>
  readonly runtime: FeedRuntime
  /** How many sessions `withSession` has; one of them at least is left to others where there are three. Default 3. */
  readonly sessions?: number
}

/**
 * Decides private channels by the policies on `realtime.messages`: a row per extension is tried as the role of the token,
 * and rolled back. Selecting it is the right to receive, inserting it the right to send. An answer is never used for a
 * question that came after its batch began, so a changed policy counts from the next question on. Identities that the SELECT
 * policies cannot distinguish share a question; what INSERT also depends on (triggers, constraints) is not analysed.
 */
export function authorizeByPolicies(options: AuthorizerOptions): Authorizer {
  const { sessions = 3, runtime } = options
  const prepared = new WeakMap<PolicySession, PlannedRoles>()
  const known = new KnownPolicies(() => options.loadPolicies(), runtime)
  const queue = new AuthorizationQueue<Asked, Answer>({
    runtime,
    lanes: Math.max(1, Math.floor((sessions - 1) / 2)),
    ask: (questions, times) => askBatch({ ...options, prepared, known }, questions, times),
    timedOut: (wasAsked) => ({ error: wasAsked ? NO_ANSWER : NO_SESSION }),
  })
  const ask = async (request: AuthorizationRequest, command: Command): Promise<Authorization> => {
    const question = questionOf(request, command, command === 'read' ? known.current : null)
    if ([question.topic, question.role, question.sub].some((text) => text.includes('\0')))
      return {
        ok: true,
        ...NOTHING,
        detail: 'the topic, the role or the sub of the token holds a NUL character, which Postgres does not take',
      }
    const asker = request.asker ?? { origin: `${question.role} ${question.claims}`, isWaiting: () => true }
    const answer = await queue.ask(question, asker)
    return authorizationOf(answer === STALE ? await queue.ask(questionOf(request, command, null), asker) : answer, command, request)
  }
  return { read: (request) => ask(request, 'read'), write: (request) => ask(request, 'write') }
}

type Asked = PolicyQuestion & {
  readonly key: string
  /** What its key was made by: others with the same key may have other claims. `null`: they have not. */
  readonly policies: JoinPolicies | null
}

/** The policies have changed since the question was found equal to others. */
const STALE = 'stale'

/** `error`: the database gave no answer. */
type Answer = PolicyAnswer | { readonly error: unknown } | typeof STALE

const NOTHING = { broadcast: false, presence: false } as const
const NO_SESSION = { code: 'pool-timeout' }
const NO_ANSWER = { code: 'no-answer' }

/** Claims and headers stay the same objects for as long as a token, or a socket, lasts. */
const texts = new WeakMap<object, string>()

function jsonOf(value: object): string {
  let text = texts.get(value)
  if (text === undefined) texts.set(value, (text = JSON.stringify(value)))
  return text
}

/** As `texts`, of the claims that the policies of one version read. */
const readTexts = new WeakMap<object, { readonly policies: JoinPolicies; readonly text: string }>()

function readTextOf(claims: Claims, policies: JoinPolicies): string {
  const known = readTexts.get(claims)
  if (known?.policies === policies) return known.text
  const text = claimsText(claims, policies.claims)
  readTexts.set(claims, { policies, text })
  return text
}

/** Where all that is read of a token is known, headers are not read. The version is part of the key: what other policies read is something else. */
function keyOf({ command, role, topic, headers, claims }: PolicyQuestion, identity: Identity, policies: JoinPolicies | null): string {
  const read = policies === null ? `${headers}\0${claims}` : `${policies.version}\0${readTextOf(identity.claims, policies)}`
  return `${command}\0${role}\0${topic}\0${read}`
}

function questionOf({ subTopic, identity }: AuthorizationRequest, command: Command, known: JoinPolicies | null): Asked {
  const policies = known?.claims === 'all' ? null : known
  const topic = wellFormed(subTopic)
  const role = wellFormed(identity.role)
  const claims = jsonOf(identity.claims)
  const headers = jsonOf(identity.headers)
  const { sub } = identity.claims
  const question = { topic, role, claims, sub: typeof sub === 'string' ? wellFormed(sub) : '', headers, command }
  return { ...question, key: keyOf(question, identity, policies), policies }
}

/** What batches share. */
interface Batches extends Pick<AuthorizerOptions, 'withSession' | 'runtime'> {
  readonly prepared: WeakMap<PolicySession, PlannedRoles>
  readonly known: KnownPolicies
}

async function askBatch(batches: Batches, questions: readonly Asked[], times: BatchTimes): Promise<readonly Outcome<Answer>[]> {
  try {
    return await batches.withSession((session) => new PolicyBatch(session, batches, times).ask(questions))
  } catch (error) {
    const { code } = error as { readonly code?: unknown }
    // Sessions are busy with other things, or the cancellation met no question. Those who asked wait on.
    const isUndecided = code === NO_SESSION.code || (code === QUERY_CANCELED && questions.length > 1)
    if (code === NO_ANSWER.code && questions.length > 1) return questions.map(() => ({ kind: 'suspect' }))
    return questions.map(() => (isUndecided ? { kind: 'not-asked' } : { kind: 'answered', answer: { error } }))
  }
}

/** By role, its version before the session planned for it. */
type PlannedRoles = Map<string, string>

/** Else a question that cannot be cancelled would go on, with its locks and its session, after its connection was given up. */
const NOTICE_LOST_CLIENT = `set client_connection_check_interval = '1s'`

class PolicyBatch {
  readonly #session: PolicySession
  readonly #prepared: WeakMap<PolicySession, PlannedRoles>
  readonly #known: KnownPolicies
  readonly #runtime: FeedRuntime
  readonly #times: BatchTimes

  constructor(session: PolicySession, { prepared, known, runtime }: Batches, times: BatchTimes) {
    this.#session = session
    this.#prepared = prepared
    this.#known = known
    this.#runtime = runtime
    this.#times = times
  }

  /** Rejects when the database is the trouble. A batch that fails for a question of it is split until that one stands alone. */
  async ask(questions: readonly Asked[]): Promise<readonly Outcome<Answer>[]> {
    if (!this.#prepared.has(this.#session)) {
      await this.#query(CREATE_FUNCTIONS)
      // Not known to every system that Postgres runs on.
      await this.#query(NOTICE_LOST_CLIENT).catch((error: unknown) => {
        if (sqlState(error) === null) throw error
      })
      this.#prepared.set(this.#session, new Map())
    }
    try {
      const answers = await this.#answers(questions)
      if (answers !== null) return questions.map((_, at) => outcomeOf(answers[at]))
    } catch (error) {
      const code = sqlState(error)
      if (code === null) throw error
      await this.#query('rollback')
      await this.#discardPlans()
      if (!isPolicyFault(code)) throw error
      if (code === UNDEFINED_FUNCTION && (error as Error).message.includes('pg_temp.tidewire_')) {
        this.#prepared.delete(this.#session)
        return this.ask(questions)
      }
      if (questions.length === 1) return [{ kind: 'answered', answer: { error } }]
      const middle = questions.length >> 1
      return [...(await this.ask(questions.slice(0, middle))), ...(await this.ask(questions.slice(middle)))]
    }
    await this.#discardPlans()
    return this.ask(questions)
  }

  /** `null`: they may have been given by plans for roles as they were before. */
  async #answers(questions: readonly Asked[]): Promise<readonly Answer[] | null> {
    const policies = this.#known.current
    const results = (await this.#query(batchSql(questions, this.#times, policies?.reach ?? null))) as readonly {
      readonly rows: readonly unknown[]
    }[]
    const versions = results[RESULTS.roleVersions]!.rows as readonly { readonly version: string }[]
    if (this.#isPlannedOtherwise(rolesOf(questions), versions)) return null
    const [compared] = (policies === null ? [] : results[RESULTS.joinVersion]!.rows) as readonly { readonly version: string }[]
    const holds = this.#known.compared(policies, compared?.version ?? null)
    return (results[RESULTS.answers]!.rows as readonly PolicyAnswer[]).map((answer, at) => {
      const keyedBy = questions[at]!.policies
      return keyedBy === null || (holds && keyedBy === policies) ? answer : STALE
    })
  }

  /**
   * Postgres keeps the policies that it chose for a role in its plans, and does not choose again when the role gains or loses a
   * membership or an attribute.
   */
  #isPlannedOtherwise(roles: readonly string[], found: readonly { readonly version: string }[]): boolean {
    const planned = this.#prepared.get(this.#session)!
    const isOther = roles.some((role, at) => planned.has(role) && planned.get(role) !== found[at]!.version)
    if (!isOther) for (const [at, role] of roles.entries()) planned.set(role, found[at]!.version)
    return isOther
  }

  async #discardPlans(): Promise<void> {
    this.#prepared.get(this.#session)?.clear()
    await this.#query('discard plans')
  }

  #query(text: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = this.#runtime.setTimer(
        () => reject(Object.assign(new Error('the database does not answer'), NO_ANSWER)),
        this.#times.timeoutMs + this.#times.graceMs,
      )
      this.#session
        .query(text)
        .then(resolve, reject)
        .finally(() => late.cancel())
    })
  }
}

function outcomeOf(answer: Answer | undefined): Outcome<Answer> {
  if (answer === undefined) return { kind: 'not-asked' }
  if (answer === STALE || 'error' in answer) return { kind: 'answered', answer }
  return { kind: answer.state === QUERY_CANCELED ? 'slow' : 'answered', answer }
}

function authorizationOf(answer: Answer, command: Command, request: AuthorizationRequest): Authorization {
  // A question that shares nothing is never stale.
  if (answer === STALE) return { ok: false, reason: databaseReason(NO_ANSWER) }
  if ('error' in answer) return { ok: false, reason: databaseReason(answer.error) }
  const { role } = request.identity
  if (answer.refused_role === 'missing') return { ok: true, ...NOTHING, detail: `there is no role ${JSON.stringify(role)}` }
  if (answer.refused_role === 'forbidden') return { ok: true, ...NOTHING, detail: `tokens may not take the role ${JSON.stringify(role)}` }
  const { state, fault, policy } = answer
  if (state !== null) {
    if (!isPolicyFault(state)) return { ok: false, reason: databaseReason({ code: state, message: fault }) }
    // A policy that raises for this user denies this user (rule A6).
    const named = policy === null ? 'a policy' : `the policy ${JSON.stringify(policy)}`
    return { ok: true, ...NOTHING, detail: `${named} on realtime.messages failed: ${fault ?? state}`, failed: true }
  }
  const allowed = { broadcast: answer.broadcast === true, presence: answer.presence === true }
  const missing = (['broadcast', 'presence'] as const).filter((extension) => !allowed[extension])
  if (missing.length === 0) return { ok: true, ...allowed }
  const detail = `no ${command === 'read' ? 'SELECT' : 'INSERT'} policy on realtime.messages lets ${role} use ${missing.join(' and ')} on topic ${JSON.stringify(request.subTopic)}`
  return { ok: true, ...allowed, detail }
}

const UNDEFINED_FUNCTION = '42883'
const QUERY_CANCELED = '57014'

function sqlState(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null
}

/**
 * Whether the fault lies in what the policies ran into with this user, and not in the database: connections (08),
 * resources (53), operators (57), the system (58), internal faults (XX) and a missing partition (23514) are the database.
 */
function isPolicyFault(code: string): boolean {
  return !/^(08|53|57|58|XX)/.test(code) && code !== '23514'
}
