import { isJsonObject, nameMatches, wireTopic, type WhyAnswer, type WhyQuestion, type WhyStep, type WhyUser } from '@tidewire/protocol'
import { entriesOf } from '../channel/change-entries.ts'
import type { Channel } from '../channel/channel.ts'
import type { Connection } from '../connection/connection.ts'
import type { Connections } from '../connection/connections.ts'
import type { Limits } from '../limits/limits.ts'
import type { ExplainedTable, Explainer, Identity, TableNames } from '../ports.ts'
import type { DatedDecision, RecentDecisions } from './recent-decisions.ts'

export interface WhyContext {
  readonly connections: Connections
  readonly decisions: RecentDecisions
  readonly explainer: Explainer | null
  readonly limits: Limits
  readonly privateOnly: boolean
  readonly nowMs: number
}

export type WhyResult = { readonly ok: true; readonly answer: WhyAnswer } | { readonly ok: false; readonly reason: string }

type About<Kind extends WhyQuestion['about']> = Extract<WhyQuestion, { about: Kind }>

/** Decisions that are shown with an answer. */
const SHOWN_DECISIONS = 5

const NO_DATABASE = 'This server was started without a database: private channels and row changes are decided there.'

/** Explains why a user does or does not get the messages of a topic, or a row change: by the server's own checks, and those of Postgres. Never rejects. */
export async function why(question: WhyQuestion, context: WhyContext): Promise<WhyResult> {
  const connection = 'connection' in question.user ? context.connections.find(question.user.connection) : undefined
  if ('connection' in question.user && connection === undefined)
    return { ok: false, reason: 'UnknownConnection: it is closed, or was never there: ask about its role and claims instead' }
  const steps =
    question.about === 'topic'
      ? await aboutTopic(question, connection ?? null, context)
      : await aboutChange(question, connection ?? null, context)
  return { ok: true, answer: concluded(question, steps) }
}

export function explainedTable(schema: string, table: string, explainer: Explainer | null): Promise<ExplainedTable> {
  return explainer === null ? Promise.resolve({ ok: false, reason: `NoDatabase: ${NO_DATABASE}` }) : explainer.table(schema, table)
}

async function aboutTopic(question: About<'topic'>, connection: Connection | null, context: WhyContext): Promise<readonly WhyStep[]> {
  const { topic, private: isPrivate } = question
  const channels = connection === null ? [] : [...connection.channels].filter(({ subTopic }) => subTopic === topic)
  const channel = channels.find(({ request }) => request.private === isPrivate)
  const identity = identityOf(question.user, connection, channel)
  const decisions = context.decisions
    .about(connection?.id ?? null, { name: wireTopic(topic), private: isPrivate })
    .slice(0, SHOWN_DECISIONS)
  const steps = [tokenStep(identity, context.nowMs), limitStep(connection, channel, isPrivate, decisions, context)]
  if (!isPrivate) steps.push({ check: 'policy', outcome: 'yes', text: 'The topic is public: no policy is asked.' })
  else if (context.explainer === null) steps.push({ check: 'policy', outcome: 'no', text: NO_DATABASE })
  else steps.push(...(await context.explainer.topic({ subTopic: topic, identity })))
  if (connection !== null) steps.push(joinedStep(connection, channels, topic, isPrivate))
  return [...steps, ...decisions.map(decisionStep)]
}

async function aboutChange(question: About<'change'>, connection: Connection | null, context: WhyContext): Promise<readonly WhyStep[]> {
  const { schema, table, key } = question
  const wanted = connection === null ? [] : await entriesFor(connection, { schema, table }, context.explainer)
  const identity = identityOf(question.user, connection, wanted[0]?.channel)
  const decisions = context.decisions.about(connection?.id ?? null, null).slice(0, SHOWN_DECISIONS)
  const steps = [tokenStep(identity, context.nowMs)]
  if (connection !== null) steps.push(wantedStep(connection, wanted, `${schema}.${table}`))
  const filters = question.filter === undefined ? [...new Set(wanted.map(({ filter }) => filter))] : [question.filter]
  if (context.explainer === null) steps.push({ check: 'publication', outcome: 'no', text: NO_DATABASE })
  else steps.push(...(await context.explainer.change({ identity, schema, table, key, filters })))
  if (connection === null) return steps
  return [...steps, ...decisions.map(decisionStep)]
}

/** The identity of the channel, or of the socket where there is no channel. */
function identityOf(user: WhyUser, connection: Connection | null, channel: Channel | undefined): Identity {
  if (!('connection' in user)) return { role: user.role, claims: { ...user.claims, role: user.role }, headers: {} }
  if (channel?.identity) return channel.identity
  const { claims = {}, headers = {} } = connection ?? {}
  return { role: typeof claims['role'] === 'string' ? claims['role'] : '', claims, headers }
}

function tokenStep({ role, claims }: Identity, nowMs: number): WhyStep {
  const user = userOf(role, claims)
  if (role === '') return { check: 'token', outcome: 'no', text: 'The token names no role.' }
  const expiresAt = expiryOf(claims)
  const at = expiresAt === null ? {} : { at: expiresAt }
  return expiresAt !== null && expiresAt <= nowMs
    ? { check: 'token', outcome: 'no', text: `The token of ${user} has expired.`, ...at }
    : { check: 'token', outcome: 'yes', text: `Acts as ${user}.`, ...at }
}

/** The last moment that a `Date` can hold, Unix milliseconds. */
const END_OF_TIME = 8.64e15

function expiryOf({ exp }: Identity['claims']): number | null {
  return typeof exp === 'number' ? Math.max(-END_OF_TIME, Math.min(END_OF_TIME, exp * 1_000)) : null
}

function userOf(role: string, { sub }: Identity['claims']): string {
  return typeof sub === 'string' ? `role ${role}, user ${sub.slice(0, 100)}` : `role ${role}`
}

/** Codes of decisions of exceeded rates and counts. */
const LIMIT_CODES: ReadonlySet<string> = new Set([
  'too-many-changes',
  'too-many-conditions',
  'too-many-columns',
  'too-many-values',
  'too-deep',
  'name-too-long',
  'too-many-users',
  'too-many-channels',
  'too-many-joins',
  'too-many-events',
  'too-many-idle-frames',
  'too-many-presence-calls',
  'too-many-presence-events',
  'too-many-waiting',
  'payload-too-large',
  'presence-full',
])

function limitStep(
  connection: Connection | null,
  channel: Channel | undefined,
  isPrivate: boolean,
  decisions: readonly DatedDecision[],
  { connections, limits, privateOnly }: WhyContext,
): WhyStep {
  const no = (text: string): WhyStep => ({ check: 'limit', outcome: 'no', text })
  if (privateOnly && !isPrivate) return no('This server takes private channels only.')
  const passed = decisions.find(({ code }) => LIMIT_CODES.has(code))
  if (passed !== undefined && channel?.joined !== true) return { ...no(`A limit was reached: ${passed.detail}.`), at: passed.at }
  const isUser = connection !== null && connection.channelCount > 0
  if (!isUser && !connections.mayJoin()) return no(`There are ${connections.users} users, as many as the server takes.`)
  if (channel === undefined && connection !== null && connection.channelCount >= limits.maxChannelsPerConnection)
    return no(`The socket has ${connection.channelCount} channels, as many as one may have.`)
  return { check: 'limit', outcome: 'yes', text: `Within the limits: ${connections.users} of ${amount(limits.maxConnectedUsers)} users.` }
}

function amount(limit: number): string {
  return limit === Infinity ? 'any number of' : String(limit)
}

function joinedStep(connection: Connection, channels: readonly Channel[], topic: string, isPrivate: boolean): WhyStep {
  const kind = isPrivate ? 'private' : 'public'
  const step = (outcome: WhyStep['outcome'], text: string): WhyStep => ({ check: 'subscription', outcome, text })
  const channel = channels.find(({ request }) => request.private === isPrivate)
  if (channel?.joined === true) return step('yes', `Connection ${connection.id} has joined the ${kind} topic ${JSON.stringify(topic)}.`)
  if (channel !== undefined) return step('unknown', `Connection ${connection.id} is about to join: it waits for an answer.`)
  const other =
    channels.length > 0 ? ` It has joined the ${isPrivate ? 'public' : 'private'} one of this name, which is another topic.` : ''
  return step('no', `Connection ${connection.id} has not joined the ${kind} topic ${JSON.stringify(topic)}.${other}`)
}

interface WantedEntry extends TableNames {
  readonly channel: Channel
  /** Empty: no filter. */
  readonly filter: string
}

/** The entries of the connection's joins that name the table. */
async function entriesFor(connection: Connection, asked: TableNames, explainer: Explainer | null): Promise<readonly WantedEntry[]> {
  const matching = [...connection.channels].flatMap((channel) =>
    entriesOf(channel.request, channel.subTopic).flatMap((entry) => {
      const names = namesOf(entry)
      if (names === null || !nameMatches(names.schema, asked.schema) || !nameMatches(names.table, asked.table)) return []
      return [{ ...names, channel, filter: isJsonObject(entry) && typeof entry['filter'] === 'string' ? entry['filter'] : '' }]
    }),
  )
  return matching.length === 0 ? matching : ((await explainer?.entriesNaming?.(matching, asked)) ?? matching)
}

/** Without a schema, an entry names tables of `public`; without a table, all of its schema (rule D1). */
function namesOf(entry: unknown): TableNames | null {
  if (!isJsonObject(entry)) return null
  const { schema, table } = entry
  if (typeof schema !== 'string' && typeof table !== 'string') return null
  return { schema: typeof schema === 'string' ? schema : 'public', table: typeof table === 'string' ? table : '*' }
}

function wantedStep(connection: Connection, wanted: readonly WantedEntry[], table: string): WhyStep {
  const topics = [...new Set(wanted.map(({ channel }) => channel.subTopic))].map((topic) => JSON.stringify(topic.slice(0, 100)))
  if (topics.length === 0) {
    const text = `No channel of connection ${connection.id} asked for changes of ${table}.`
    return { check: 'subscription', outcome: 'no', text }
  }
  return {
    check: 'subscription',
    outcome: 'yes',
    text: `Connection ${connection.id} asked for changes of ${table} on ${topics.join(', ')}.`,
  }
}

/** A past decision says nothing about the next message, but may be the one that the question is about. */
function decisionStep({ kind, code, detail, at }: DatedDecision): WhyStep {
  return { check: 'decision', outcome: 'unknown', text: `Earlier (${kind}, ${code}): ${detail}`, at }
}

function concluded(question: WhyQuestion, steps: readonly WhyStep[]): WhyAnswer {
  const decisive = steps.find(({ outcome }) => outcome === 'no')
  const what = question.about === 'topic' ? 'What is sent to this topic' : 'A change of this row'
  if (decisive !== undefined) return { verdict: `${what} does not arrive. ${decisive.text}`, allowed: false, steps }
  const open = steps.find(({ check, outcome }) => outcome === 'unknown' && check !== 'decision')
  if (open !== undefined) return { verdict: `It cannot be said. ${open.text}`, allowed: false, steps }
  return { verdict: `${what} arrives: nothing stands in its way.`, allowed: true, steps }
}
