import type { Authorization, AuthorizationRequest, Authorizer, JoinPosition } from '@tidewire/server'
import { codeOf, databaseReason, sqlStateOf } from '../catalog/database-fault.ts'
import { roleRefusal } from '../catalog/role-rule.ts'
import type { FeedRuntime } from '../feed-runtime.ts'
import { AuthorizationQueue, type Outcome } from './authorization-queue.ts'
import {
  batchSql,
  CREATE_FUNCTION,
  FUNCTION_NAME,
  rolesOf,
  wellFormed,
  type BatchTimes,
  type Command,
  type PolicyAnswer,
  type PolicyQuestion,
} from './authorization-sql.ts'
import { clusterOf, positionOf } from './join-position.ts'

/** A session of its own for a transaction; the pools of `pg` give it. */
export interface PolicySession {
  /** Several statements in one text give an array of results. */
  query(text: string): Promise<unknown>
}

/** What the authorizer asks the database with. */
export interface AuthorizerOptions {
  /** Runs `work` on a session that is used for nothing else meanwhile; rejects when none can be had. */
  withSession<T>(work: (session: PolicySession) => Promise<T>): Promise<T>
  readonly runtime: FeedRuntime
  /** How many sessions `withSession` has; one of them at least is left to others where there are three. Default 3. */
  readonly sessions?: number
}

/**
 * Decides private channels by the policies on `realtime.messages`: a row per extension is tried as the role of the token,
 * and rolled back. Selecting it is the right to receive, inserting it the right to send. An answer is never used for a
 * question that came after its batch began, so a changed policy counts from the next question on.
 */
export function authorizeByPolicies(options: AuthorizerOptions): Authorizer {
  const { sessions = 3, runtime } = options
  const queue = new AuthorizationQueue<Asked, Answer>({
    runtime,
    lanes: Math.max(1, Math.floor((sessions - 1) / 2)),
    ask: (questions, times) => askBatch(options, questions, times),
    timedOut: (wasAsked) => ({ error: wasAsked ? NO_ANSWER : NO_SESSION }),
  })
  const ask = async (request: AuthorizationRequest, command: Command): Promise<Authorization> => {
    const question = questionOf(request, command)
    if ([question.topic, question.role, question.sub].some((text) => text.includes('\0')))
      return {
        ok: true,
        ...NOTHING,
        detail: 'the topic, the role or the sub of the token holds a NUL character, which Postgres does not take',
      }
    const asker = request.asker ?? { origin: `${question.role} ${question.claims}`, isWaiting: () => true }
    return authorizationOf(await queue.ask(question, asker), command, request)
  }
  return { read: (request) => ask(request, 'read'), write: (request) => ask(request, 'write') }
}

type Asked = PolicyQuestion & { readonly key: string }

/** `error`: the database gave no answer. */
type Answer = PositionedAnswer | { readonly error: unknown }

/** `position`: where the log was before the first question of the batch. */
type PositionedAnswer = PolicyAnswer & { readonly position: JoinPosition | null }

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

export function questionOf({ subTopic, identity }: Pick<AuthorizationRequest, 'subTopic' | 'identity'>, command: Command): Asked {
  const topic = wellFormed(subTopic)
  const role = wellFormed(identity.role)
  const claims = jsonOf(identity.claims)
  const headers = jsonOf(identity.headers)
  const { sub } = identity.claims
  return {
    key: `${command}\0${role}\0${topic}\0${headers}\0${claims}`,
    topic,
    role,
    claims,
    sub: typeof sub === 'string' ? wellFormed(sub) : '',
    headers,
    command,
  }
}

async function askBatch(options: AuthorizerOptions, questions: readonly Asked[], times: BatchTimes): Promise<readonly Outcome<Answer>[]> {
  try {
    return await options.withSession((session) => new PolicyBatch(session, options.runtime, times).ask(questions))
  } catch (error) {
    const code = codeOf(error)
    // Sessions are busy with other things, or the cancellation met no question. The askers wait on.
    const isUndecided = code === NO_SESSION.code || (code === QUERY_CANCELED && questions.length > 1)
    if (code === NO_ANSWER.code && questions.length > 1) return questions.map(() => ({ kind: 'suspect' }))
    return questions.map(() => (isUndecided ? { kind: 'not-asked' } : { kind: 'answered', answer: { error } }))
  }
}

/** Of each session that has the function, by role, its version before the session planned for it. */
const plannedRoles = new WeakMap<PolicySession, Map<string, string>>()

/** Else a question that cannot be cancelled would go on, with its locks and its session, after its connection was given up. */
const NOTICE_LOST_CLIENT = `set client_connection_check_interval = '1s'`

class PolicyBatch {
  readonly #session: PolicySession
  readonly #runtime: FeedRuntime
  readonly #times: BatchTimes

  constructor(session: PolicySession, runtime: FeedRuntime, times: BatchTimes) {
    this.#session = session
    this.#runtime = runtime
    this.#times = times
  }

  /** Rejects when the database is the trouble. A batch that fails for a question of it is split until that one stands alone. */
  async ask(questions: readonly Asked[]): Promise<readonly Outcome<Answer>[]> {
    if (!plannedRoles.has(this.#session)) {
      await this.#query(CREATE_FUNCTION)
      // Not known to every system that Postgres runs on.
      await this.#query(NOTICE_LOST_CLIENT).catch((error: unknown) => {
        if (sqlStateOf(error) === null) throw error
      })
      plannedRoles.set(this.#session, new Map())
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
        plannedRoles.delete(this.#session)
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
  async #answers(questions: readonly Asked[]): Promise<readonly PositionedAnswer[] | null> {
    const cluster = await clusterOf(this.#session, (text) => this.#query(text))
    const results = (await this.#query(batchSql(questions, this.#times))) as readonly { readonly rows: readonly unknown[] }[]
    const [at] = results[2]!.rows as readonly { readonly position: string | null }[]
    const versions = results[3]!.rows as readonly { readonly version: string }[]
    if (this.#isPlannedOtherwise(rolesOf(questions), versions)) return null
    // One object for all of them.
    const position = positionOf(cluster, at!.position)
    return (results[4]!.rows as readonly PolicyAnswer[]).map((answer) => ({ ...answer, position }))
  }

  /**
   * Postgres keeps the policies that it chose for a role in its plans, and does not choose again when the role gains or loses a
   * membership or an attribute.
   */
  #isPlannedOtherwise(roles: readonly string[], found: readonly { readonly version: string }[]): boolean {
    const planned = plannedRoles.get(this.#session)!
    const isOther = roles.some((role, at) => planned.has(role) && planned.get(role) !== found[at]!.version)
    if (!isOther) for (const [at, role] of roles.entries()) planned.set(role, found[at]!.version)
    return isOther
  }

  async #discardPlans(): Promise<void> {
    plannedRoles.get(this.#session)?.clear()
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

function outcomeOf(answer: PositionedAnswer | undefined): Outcome<Answer> {
  if (answer === undefined) return { kind: 'not-asked' }
  return { kind: answer.state === QUERY_CANCELED ? 'slow' : 'answered', answer }
}

function authorizationOf(answer: Answer, command: Command, request: AuthorizationRequest): Authorization {
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
