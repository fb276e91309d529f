import { isJsonObject, type AdminTopicDetail, type JsonObject, type Ref, type WhyQuestion } from '@tidewire/protocol'
import { Channel } from '../channel/channel.ts'
import { presenceOf } from '../channel/events/presence.ts'
import type { AdminPorts, Claims } from '../ports.ts'
import type { AdminRequest } from './admin-requests.ts'
import type { AdminView } from './admin-view.ts'
import type { Inspector } from './inspector.ts'
import type { RecentDecisions } from './recent-decisions.ts'
import { explainedTable, why, type WhyResult } from './why.ts'

/** The most presences, and connections, of a topic that are listed. */
const MAX_LISTED = 500

export interface AnswerContext {
  readonly ports: AdminPorts
  readonly view: AdminView
  readonly decisions: RecentDecisions
  /** Unix milliseconds. */
  readonly startedAt: number
}

/** Answers a request of an inspector (rule I5), on its ref. */
export function answer(request: AdminRequest, ref: Ref, inspector: Inspector, { ports, view, decisions, startedAt }: AnswerContext): void {
  switch (request.event) {
    case 'admin_watch':
      inspector.setWatch(request.watch)
      return inspector.reply(ref, 'ok', inspector.log.watch)
    case 'admin_topic':
      if (!view.hasSiblings) return inspector.reply(ref, 'ok', topicDetail(request.topic, request.private, view, startedAt))
      return void inspector.ask(ref, async () => {
        const own = topicDetail(request.topic, request.private, view, startedAt)
        const others = await view.nodes.askSiblings({ type: request.event, topic: request.topic, private: request.private })
        return { ok: true, answer: mergedDetails([own, ...others.filter(isTopicDetail)]) }
      })
    case 'admin_sql': {
      const { sql } = ports
      if (!sql) return inspector.reply(ref, 'error', { reason: 'SqlOff: SQL runs only under `tidewire dev` with a database' })
      return void inspector.ask(ref, async () => {
        const ran = await sql.run(request.sql)
        return ran.ok ? { ok: true, answer: ran.result } : ran
      })
    }
    case 'admin_nodes':
      return void inspector.ask(ref, async () => ({ ok: true, answer: { nodes: await view.nodes.nodes() } }))
    case 'admin_disconnect':
      return void inspector.ask(ref, async () => ({ ok: true, answer: await view.nodes.disconnect(request.target) }))
    case 'admin_table':
      return void inspector.ask(ref, () => explainedTable(request.schema, request.table, ports.explainer ?? null))
    case 'admin_why':
      return void inspector.ask(ref, () => whyAnywhere(request.question, { ports, view, decisions, startedAt }))
  }
}

/** Answers, for an inspector of another process, with what only this process knows. */
export async function answerAlone(request: AdminRequest, context: AnswerContext): Promise<unknown> {
  if (request.event === 'admin_topic') return topicDetail(request.topic, request.private, context.view, context.startedAt)
  return request.event === 'admin_why' ? whyHere(request.question, context) : null
}

function whyHere(question: WhyQuestion, { ports, view, decisions }: AnswerContext): Promise<WhyResult> {
  return why(question, {
    connections: view.connections,
    decisions,
    explainer: ports.explainer ?? null,
    limits: view.limits,
    privateOnly: view.privateOnly,
    nowMs: view.runtime.now(),
  })
}

/** Asks the other processes where the connection of the question is not one of this process. */
async function whyAnywhere(question: WhyQuestion, context: AnswerContext): Promise<WhyResult> {
  const { view } = context
  const isHere = !('connection' in question.user) || view.connections.find(question.user.connection) !== undefined
  const own = await whyHere(question, context)
  if (isHere || !view.hasSiblings) return own
  const others = await view.nodes.askSiblings({ ...question, type: 'admin_why' })
  return others.find((each): each is WhyResult => isJsonObject(each) && each['ok'] === true) ?? own
}

function isTopicDetail(value: unknown): value is AdminTopicDetail {
  return (
    isJsonObject(value) && typeof value['members'] === 'number' && Array.isArray(value['presences']) && Array.isArray(value['connections'])
  )
}

function mergedDetails(all: readonly AdminTopicDetail[]): AdminTopicDetail {
  const presences = new Map<string, { readonly key: string; readonly metas: JsonObject[]; readonly since: number[] }>()
  for (const { key, metas, since } of all.flatMap((each) => each.presences)) {
    let presence = presences.get(key)
    if (presence === undefined) presences.set(key, (presence = { key, metas: [], since: [] }))
    presence.metas.push(...metas)
    presence.since.push(...since)
  }
  return {
    ...all[0]!,
    members: all.reduce((total, { members }) => total + members, 0),
    presences: [...presences.values()],
    connections: all.flatMap(({ connections }) => connections).slice(0, MAX_LISTED),
  }
}

function topicDetail(name: string, isPrivate: boolean, view: AdminView, startedAt: number): AdminTopicDetail {
  const topic = view.topics.find({ name, private: isPrivate })
  const presences = new Map<string, { readonly key: string; readonly metas: Claims[]; readonly since: number[] }>()
  const connections: string[] = []
  for (const subscriber of topic?.subscribers() ?? []) {
    if (!(subscriber instanceof Channel) || connections.length >= MAX_LISTED) continue
    connections.push(subscriber.connection.id)
    const tracked = presenceOf(subscriber)
    if (tracked === null) continue
    let presence = presences.get(tracked.key)
    if (presence === undefined) presences.set(tracked.key, (presence = { key: tracked.key, metas: [], since: [] }))
    presence.metas.push(tracked.meta)
    presence.since.push(subscriber.presence.since ?? startedAt)
  }
  return { topic: name, private: isPrivate, members: topic?.size ?? 0, presences: [...presences.values()], connections }
}
