import type { Authorization, AuthorizationRequest, Authorizer, JoinPosition } from '@tidewire/server'
import { codeOf, databaseReason, sqlStateOf } from '../catalog/database-fault.ts'
import type { Queryable, Sessions } from '../catalog/queryable.ts'
import { roleRefusal } from '../catalog/role-rule.ts'
import type { FeedRuntime } from '../feed-runtime.ts'
import { AuthorizationQueue, type Outcome } from './authorization-queue.ts'
import {
  batchSql,
  CREATE_FUNCTION,
  FUNCTION_NAME,
  rolesOf,
  VERSION_STATEMENT,
  type BatchTimes,
  type Command,
  type PolicyAnswer,
} from './authorization-sql.ts'
import { questionOf, type Asked } from './asked-question.ts'
import { KnownPolicies, type JoinPolicies } from './join-policies.ts'
import { clusterOf, positionOf } from './join-position.ts'

/** The authorizer's ways to ask the database. */
export interface AuthorizerOptions extends Sessions {
  /** The claims and tables that the SELECT policies read; `null`: perhaps anything. */
  loadPolicies(): Promise<JoinPolicies | null>
  readonly runtime: FeedRuntime
  /** How many sessions `withSession` has; one of them at least is left to others where there are three. Default 3. */
  readonly sessions?: number
}

/**
 * Decides private channels by the policies on `realtime.messages`: a row per extension is tried as the role of the token,
 * and rolled back. Selecting it is the right to receive, inserting it the right to send. An answer is never used for a
 * question that came after its batch began, so a changed policy counts from the next question on. Identities that the SELECT
 * policies cannot distinguish share a question. What INSERT depends on as well (triggers, constraints) is not analysed.
 */
export function authorizeByPolicies(options: AuthorizerOptions): Authorizer {
  const { sessions = 3, runtime } = options
  const known = new KnownPolicies(() => options.loadPolicies(), runtime)
  const queue = new AuthorizationQueue<Asked, Answer>({
    runtime,
    concurrency: Math.max(1, Math.floor((sessions - 1) / 2)),
    ask: (questions, times) => askBatch({ ...options, known }, questions, times),
    timedOut: (wasAsked) => ({ error: wasAsked ? NO_ANSWER : NO_SESSION }),
  })
  const ask = async (request: AuthorizationRequest, command: Command): Promise<Authorization> => {
    const question = questionOf(request, command, command === 'read' ? known.current() : null)
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

/** The policies have changed since the question was found equal to others. */
const STALE = 'stale'

/** `error`: the database gave no answer. */
type Answer = PositionedAnswer | { readonly error: unknown } | typeof STALE

/** `position`: where the log was before the first question of the batch. */
type PositionedAnswer = PolicyAnswer & { readonly position: JoinPosition | null }

const NOTHING = { broadcast: false, presence: false } as const
const NO_SESSION = { code: 'pool-timeout' }
const NO_ANSWER = { code: 'no-answer' }

type Batches = Pick<AuthorizerOptions, 'withSession' | 'runtime'> & { readonly known: KnownPolicies }

async function askBatch(batches: Batches, questions: readonly Asked[], times: BatchTimes): Promise<readonly Outcome<Answer>[]> {
  try {
    return await batches.withSession((session) => new PolicyBatch(session, batches, times).ask(questions))
  } catch (error) {
    const code = codeOf(error)
    // Sessions are busy with other things, or the cancellation met no question. The askers wait on.
    const isUndecided = code === NO_SESSION.code || (code === QUERY_CANCELED && questions.length > 1)
    if (code === NO_ANSWER.code && questions.length > 1) return questions.map(() => ({ kind: 'suspect' }))
    return questions.map(() => (isUndecided ? { kind: 'not-asked' } : { kind: 'answered', answer: { error } }))
  }
}

/** State of a session that has the function. */
interface Prepared {
  /** By role, its version before the session planned for it. */
  readonly roles: Map<string, string>
  /** The policies of its statement for their version. */
  policies: JoinPolicies | null
}

const preparedSessions = new WeakMap<Queryable, Prepared>()

/** Else a question that cannot be cancelled would go on, with its locks and its session, after its connection was given up. */
const NOTICE_LOST_CLIENT = `set client_connection_check_interval = '1s'`

class PolicyBatch {
  readonly #session: Queryable
  readonly #batches: Batches
  readonly #times: BatchTimes

  constructor(session: Queryable, batches: Batches, times: BatchTimes) {
    this.#session = session
    this.#batches = batches
    this.#times = times
  }

  /** Rejects when the database is the trouble. A batch that fails for a question of it is split until that one stands alone. */
  async ask(questions: readonly Asked[]): Promise<readonly Outcome<Answer>[]> {
    if (!preparedSessions.has(this.#session)) {
      await this.#query(CREATE_FUNCTION)
      // Not known to every system that Postgres runs on.
      await this.#query(NOTICE_LOST_CLIENT).catch((error: unknown) => {
        if (sqlStateOf(error) === null) throw error
      })
      preparedSessions.set(this.#session, { roles: new Map(), policies: null })
    }
    try {
      const answers = await this.#answers(questions)
      if (answers !== null) return questions.map((_, at) => outcomeOf(answers[at]))
    } catch (error) {
      const code = sqlStateOf(error)
      if (code === null) throw error
      await this.#query('rollback')
      await this.#discardPlans()
      if (!isPolicyFault(code)) throw error
      if (code === UNDEFINED_FUNCTION && (error as Error).message.includes(FUNCTION_NAME)) {
        preparedSessions.delete(this.#session)
        return this.ask(questions)
      }
      if (questions.length === 1) return [{ kind: 'answered', answer: questions[0]!.policies === null ? { error } : STALE }]
      const middle = questions.length >> 1
      return [...(await this.ask(questions.slice(0, middle))), ...(await this.ask(questions.slice(middle)))]
    }
    await this.#discardPlans()
    return this.ask(questions)
  }

  /** `null`: a role changed since this session planned for it; the plans are discarded and the questions asked again. */
  async #answers(questions: readonly Asked[]): Promise<readonly Answer[] | null> {
    const policies = questions.some((question) => question.policies !== null) ? this.#batches.known.current() : null
    if (policies !== null) await this.#prepareVersion(policies)
    const cluster = await clusterOf(this.#session, (text) => this.#query(text))
    const results = (await this.#query(batchSql(questions, this.#times, policies !== null))) as readonly {
      readonly rows: readonly unknown[]
    }[]
    const [at] = results[2]!.rows as readonly { readonly position: string | null }[]
    const versions = results[3]!.rows as readonly { readonly version: string }[]
    if (this.#isPlannedOtherwise(rolesOf(questions), versions)) return null
    const position = positionOf(cluster, at!.position)
    const [compared] = (policies === null ? [] : results[5]!.rows) as readonly { readonly version: string | null }[]
    const holds = policies !== null && policies.version === compared!.version
    if (policies !== null && !holds) this.#batches.known.forget(policies)
    return (results[4]!.rows as readonly PolicyAnswer[]).map((answer, n) => {
      const keyedBy = questions[n]!.policies
      return keyedBy === null || (holds && keyedBy === policies) ? { ...answer, position } : STALE
    })
  }

  async #prepareVersion(policies: JoinPolicies): Promise<void> {
    const prepared = preparedSessions.get(this.#session)!
    const former = prepared.policies
    if (former === policies) return
    prepared.policies = null
    if (former !== null) await this.#query(`deallocate ${VERSION_STATEMENT}`)
    await this.#query(`prepare ${VERSION_STATEMENT} as select ${policies.versionSql} as version`)
    prepared.policies = policies
  }

  /**
   * Postgres keeps the policies that it chose for a role in its plans, and does not choose again when the role gains or loses a
   * membership or an attribute.
   */
  #isPlannedOtherwise(roles: readonly string[], found: readonly { readonly version: string }[]): boolean {
    const { roles: planned } = preparedSessions.get(this.#session)!
    const isOther = roles.some((role, at) => planned.has(role) && planned.get(role) !== found[at]!.version)
    if (!isOther) for (const [at, role] of roles.entries()) planned.set(role, found[at]!.version)
    return isOther
  }

  async #discardPlans(): Promise<void> {
    preparedSessions.get(this.#session)?.roles.clear()
    await this.#query('discard plans')
  }

  #query(text: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = this.#batches.runtime.setTimer(
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
  const refusal = roleRefusal({ name: role, exists: answer.refused_role !== 'missing', allowed: answer.refused_role === null })
  if (refusal !== null) return { ok: true, ...NOTHING, detail: refusal }
  const { state, fault, policy, position } = answer
  if (state !== null) {
    if (!isPolicyFault(state)) return { ok: false, reason: databaseReason({ code: state, message: fault }) }
    // A policy that raises for this user denies this user (rule A6).
    const named = policy === null ? 'a policy' : `the policy ${JSON.stringify(policy)}`
    return { ok: true, ...NOTHING, detail: `${named} on realtime.messages failed: ${fault ?? state}`, failed: true }
  }
  const allowed = { broadcast: answer.broadcast === true, presence: answer.presence === true }
  const missing = (['broadcast', 'presence'] as const).filter((extension) => !allowed[extension])
  if (missing.length === 0) return { ok: true, ...allowed, position }
  const detail = `no ${command === 'read' ? 'SELECT' : 'INSERT'} policy on realtime.messages lets ${role} use ${missing.join(' and ')} on topic ${JSON.stringify(request.subTopic)}`
  return { ok: true, ...allowed, position, detail }
}

const UNDEFINED_FUNCTION = '42883'
const QUERY_CANCELED = '57014'

/**
 * Whether the fault lies in what the policies ran into with this user, and not in the database: connections (08),
 * resources (53), operators (57), the system (58), internal faults (XX) and a missing partition (23514) are the database.
 */
function isPolicyFault(code: string): boolean {
  return !/^(08|53|57|58|XX)/.test(code) && code !== '23514'
}
