import type { AdminTopicDetail, Ref } from '@tidewire/protocol'
import { Channel } from '../channel/channel.ts'
import { presenceOf } from '../channel/presence.ts'
import type { AdminPorts, Claims } from '../ports.ts'
import type { AdminRequest } from './admin-requests.ts'
import type { AdminView } from './admin-view.ts'
import type { Inspector } from './inspector.ts'
import type { RecentDecisions } from './recent-decisions.ts'
import { explainedTable, why } from './why.ts'

/** So many presences of a topic are listed. */
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
      inspector.log.setWatch(request.watch)
      return inspector.reply(ref, 'ok', inspector.log.watch)
    case 'admin_topic':
      return inspector.reply(ref, 'ok', topicDetail(request.topic, request.private, view, startedAt))
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
      return void inspector.ask(ref, () =>
        why(request.question, {
          connections: view.connections,
          decisions,
          explainer: ports.explainer ?? null,
          limits: view.limits,
          privateOnly: view.privateOnly,
          nowMs: view.runtime.now(),
        }),
      )
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
    presence.since.push(subscriber.presentSince ?? startedAt)
  }
  return { topic: name, private: isPrivate, members: topic?.size ?? 0, presences: [...presences.values()], connections }
}
