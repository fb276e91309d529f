/** A scripted server for work on the page: never part of what is built. */
import type { AdminConnection, AdminLogRow, AdminRequests, AdminTopic, LatencySummary, WhyAnswer } from '@tidewire/protocol'
import type { Link, LinkListener } from '../src/link/link.ts'

const BOUNDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250]
const TOPICS: AdminTopic[] = [
  ...['lobby', 'board:retro', 'cursors', 'public-todos', 'demo-k3x9aa'].map((topic, index) => ({
    topic,
    private: false,
    members: 3 + index * 7,
  })),
  ...['room:1', 'room:2', 'org:acme:presence', 'a-very-long-topic-name-that-has-to-be-cut-somewhere:42'].map((topic, index) => ({
    topic,
    private: true,
    members: 1 + index,
  })),
]

function summary(scale: number): LatencySummary {
  const counts = [...BOUNDS, 0].map((_, index) =>
    Math.max(0, Math.round(120 * Math.exp(-((index - 2 - scale) ** 2) / 3) * (0.6 + Math.random()))),
  )
  return {
    p50: 0.2 * 2 ** scale * (0.8 + Math.random() * 0.4),
    p95: 0.9 * 2 ** scale * (0.7 + Math.random() * 0.9),
    boundsMs: BOUNDS,
    counts,
  }
}

function connection(index: number): AdminConnection {
  const now = Date.now()
  return {
    id: `c${(4096 + index * 77).toString(16)}`,
    role: index % 4 === 3 ? 'anon' : 'authenticated',
    claims:
      index % 4 === 3
        ? { role: 'anon' }
        : { role: 'authenticated', sub: `0f3a${index}c1e-8d7b-4c1a-9a5e-2f00d1c0ffee`, email: `user${index}@example.org`, exp: 1790000000 },
    vsn: '2.0.0',
    connectedAt: now - index * 61_000,
    lastHeartbeatAt: now - index * 1_900,
    address: '127.0.0.1',
    userAgent: 'Mozilla/5.0 (X11; Linux x86_64)',
    channels: TOPICS.slice(index % 3, (index % 3) + 3).map(({ topic, private: isPrivate }) => ({
      topic,
      private: isPrivate,
      role: 'authenticated',
      sub: `user${index}`,
    })),
    received: 13 * index ** 2,
    sent: 211 * index ** 2,
    queueBytes: index === 4 ? 181_000 : 0,
  }
}

let nextId = 1
function row(): AdminLogRow {
  const id = nextId++
  const topic = TOPICS[id % TOPICS.length]!
  const base = { id, at: Date.now(), topic: topic.topic, private: topic.private, connection: `c${(4096 + (id % 7) * 77).toString(16)}` }
  const payload = JSON.stringify({
    x: Math.random(),
    y: 0.25,
    user: { name: 'Ada', tags: ['a', 'b'], note: '<img src=x onerror=alert(1)> \u202ereversed' },
  })
  switch (id % 9) {
    case 0:
      return {
        ...base,
        kind: 'presence',
        event: 'track',
        receivers: topic.members,
        bytes: 88,
        payload: '{"name":"Grace","status":"typing"}',
      }
    case 3:
      return {
        ...base,
        kind: 'change',
        event: ['INSERT', 'UPDATE', 'DELETE'][id % 3]!,
        topic: 'public-todos',
        private: false,
        receivers: 4,
        bytes: 412,
        detail: 'public.todos',
        payload: JSON.stringify({
          schema: 'public',
          table: 'todos',
          type: 'INSERT',
          record: { id, title: 'buy milk', done: false, user_id: null },
          columns: [{ name: 'id', type: 'int8' }],
        }),
      }
    case 5:
      return { ...base, kind: 'join', detail: 'as authenticated' }
    case 7:
      return {
        ...base,
        kind: 'decision',
        event: 'Unauthorized',
        topic: 'room:2',
        private: true,
        detail: 'The policies of realtime.messages let authenticated read nothing in room:2.',
      }
    default:
      return { ...base, kind: 'broadcast', event: 'cursor', receivers: topic.members - 1, bytes: payload.length, payload }
  }
}

const WHY: WhyAnswer = {
  verdict: 'user2@example.org may not join room:2: no policy of realtime.messages lets the role authenticated read it.',
  allowed: false,
  steps: [
    { check: 'token', outcome: 'yes', text: 'The token is valid until 14:20:00 and has the role authenticated.' },
    { check: 'limit', outcome: 'yes', text: '3 of at most 100 channels are in use.' },
    { check: 'privilege', outcome: 'yes', text: 'authenticated may select from realtime.messages.' },
    {
      check: 'policy',
      outcome: 'no',
      text: 'No row of realtime.messages with this topic can be seen under “members read” (select).',
      sql: "set local role authenticated;\nselect set_config('request.jwt.claims', '{\"sub\": \"0f3a2c1e\"}', true);\nselect * from realtime.messages where topic = 'room:2';",
    },
  ],
}

/** Answers as a server would, with endless traffic. `?burst` makes it heavy. */
export function scriptedLink(listener: LinkListener): Link {
  const query = new URLSearchParams(location.search)
  const perTenth = Number(query.get('rows') ?? 1)
  const connections = Array.from({ length: 9 }, (_, index) => connection(index))
  const rows = (many: number): AdminLogRow[] => Array.from({ length: many }, row)
  setTimeout(() => {
    listener.state({ kind: 'open', welcome: { node: null, version: '0.1.0', startedAt: Date.now(), sql: true, database: true } })
    listener.event('admin_state', { topics: TOPICS, connections, moreTopics: 0, moreConnections: 0 })
    listener.event('admin_log', { rows: rows(Number(query.get('first') ?? 40)), skipped: 0 })
  })
  const log = setInterval(() => listener.event('admin_log', { rows: rows(perTenth), skipped: Math.random() < 0.02 ? 12_431 : 0 }), 100)
  const tick = setInterval(
    () =>
      listener.event('admin_tick', {
        at: Date.now(),
        healthy: !query.has('trouble'),
        trouble: query.has('trouble') ? 'The change feed waits for its database: connection refused at 127.0.0.1:5432.' : null,
        connections: 1_204,
        channels: 3_400,
        receivedPerSecond: 320 + Math.random() * 40,
        deliveredPerSecond: 12_400 + Math.random() * 900,
        fanOut: summary(0),
        insertToFrame: summary(3),
        feed: { lagBytes: 5_120, lagMs: 3.2 },
        topics: [{ ...TOPICS[0]!, members: 3 + Math.floor(Math.random() * 4) }],
        connectionsChanged:
          Math.random() < 0.05
            ? [{ ...connection(9), closed: { code: 1008, reason: 'Too many messages per second', at: Date.now() } }]
            : [],
      }),
    500,
  )
  return {
    request: (name, request) => Promise.resolve(answer(name, request)) as Promise<never>,
    close() {
      clearInterval(log)
      clearInterval(tick)
    },
  }
}

function answer(name: keyof AdminRequests, request: unknown): unknown {
  switch (name) {
    case 'admin_watch':
      return request
    case 'admin_why':
      return WHY
    case 'admin_nodes':
      return { nodes: [] }
    case 'admin_disconnect':
      return { disconnected: 0, silent: [] }
    case 'admin_table':
      return {
        primaryKey: [
          { name: 'org_id', type: 'uuid' },
          { name: 'id', type: 'bigint' },
        ],
      }
    case 'admin_sql':
      return {
        columns: ['id', 'title', 'done'],
        rows: [
          ['1', 'buy milk', 'f'],
          ['2', '<script>alert(1)</script>', null],
        ],
        moreRows: 3,
        command: 'SELECT',
        tookMs: 1.8,
      }
    case 'admin_topic':
      return {
        ...(request as AdminTopic),
        members: 4,
        connections: [],
        presences: ['ada', 'grace', 'edsger'].map((key, index) => ({
          key,
          metas: [{ phx_ref: 'F1x', name: key, status: 'typing', cursor: { x: 1, y: 2 } }],
          since: [Date.now() - index * 95_000],
        })),
      }
  }
}
