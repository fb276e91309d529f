import { ADMIN_TOPIC, type WhyAnswer } from '@tidewire/protocol'
import { NodeInProcess, type SocketInProcess } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { noLimits } from '../limits/limits.ts'
import type { Explainer } from '../ports.ts'
import { admin, ask, enter } from '../../test/inspector-steps.ts'

describe('a question of an inspector', () => {
  test('the members of a topic, and since when', async () => {
    const node = new NodeInProcess({}, { admin })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    await client.join('realtime:room', { presence: { key: 'k', enabled: true } })
    const since = node.runtime.now()
    client.send({ topic: 'realtime:room', event: 'presence', payload: { event: 'track', payload: { a: 1 } } })
    await node.settle()
    node.runtime.advance(40)
    client.send({ topic: 'realtime:room', event: 'presence', payload: { event: 'track', payload: { a: 2 } } })
    await node.settle()
    expect(await ask(node, socket, 'admin_topic', { topic: 'room', private: false })).toMatchObject({
      status: 'ok',
      response: { members: 1, connections: ['2'], presences: [{ key: 'k', metas: [{ a: 2 }], since: [since] }] },
    })
    expect(await ask(node, socket, 'admin_topic', { topic: 'room', private: true })).toMatchObject({ response: { members: 0 } })
  })

  test.each([
    ['admin_topic', { topic: 1, private: false }],
    ['admin_watch', { payloads: 'yes' }],
    ['admin_why', { about: 'topic', topic: 'a', private: true }],
    ['admin_why', { about: 'rows', user: { connection: '1' } }],
    ['admin_why', { about: 'change', user: { role: 'anon', claims: {} }, schema: 'public', table: 't', key: { id: 1 } }],
    ['admin_table', { schema: 'public', table: 5 }],
    ['admin_sql', { sql: 5 }],
    ['admin_topic', null],
  ])('%s that makes no sense is answered: %j', async (event, payload) => {
    const node = new NodeInProcess({}, { admin })
    const socket = node.connect()
    await enter(node, socket)
    expect(await ask(node, socket, event, payload)).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching('^MalformedRequest: ') as string },
    })
    expect(await ask(node, socket, 'admin_everything', {})).toMatchObject({
      response: { reason: expect.stringMatching('^UnknownRequest') as string },
    })
    expect(await ask(node, socket, 'admin_sql', { sql: 'select 1' })).toMatchObject({
      response: { reason: expect.stringMatching('^SqlOff') as string },
    })
  })

  test('not everything at once', async () => {
    const answers: ((result: { ok: false; reason: string }) => void)[] = []
    const sql = { run: () => new Promise<{ ok: false; reason: string }>((resolve) => answers.push(resolve)) }
    const node = new NodeInProcess({}, { admin: { ...admin, sql } })
    const socket = node.connect()
    expect(await enter(node, socket)).toMatchObject({ response: { sql: true } })
    for (let n = 0; n < 6; n++) socket.send({ topic: ADMIN_TOPIC, event: 'admin_sql', ref: `q${n}`, payload: { sql: 'select 1' } })
    await node.settle()
    expect(answers).toHaveLength(4)
    for (const answer of answers) answer({ ok: false, reason: 'Refused: no' })
    await node.settle()
    const replies = socket.received.filter(({ ref }) => typeof ref === 'string' && ref.startsWith('q'))
    expect(replies.map(({ payload }) => (payload as { response: { reason: string } }).response.reason.split(':')[0])).toEqual([
      'TooManyQuestions',
      'TooManyQuestions',
      'Refused',
      'Refused',
      'Refused',
      'Refused',
    ])
  })
})

describe('the question why', () => {
  test("a client's pattern of many wildcards takes no time (rule D3)", async () => {
    const node = new NodeInProcess({}, { admin })
    const client = node.connect()
    await client.join('realtime:room', { postgres_changes: [{ event: '*', schema: 'public', table: `${'%'.repeat(100)}Z` }] })
    const socket = node.connect()
    await enter(node, socket)
    const question = { about: 'change', user: { connection: '1' }, schema: 'public', table: 'a_'.repeat(100), key: {} }
    const at = performance.now()
    expect(await ask(node, socket, 'admin_why', question)).toMatchObject({ status: 'ok' })
    expect(performance.now() - at).toBeLessThan(1_000)
  })

  const explainer: Explainer = {
    topic: ({ subTopic, identity }) =>
      Promise.resolve([{ check: 'policy', outcome: subTopic === 'open' ? 'yes' : 'no', text: `Policies say so to ${identity.role}.` }]),
    table: (schema, table) =>
      Promise.resolve({ ok: true, answer: { primaryKey: [{ name: `key of ${schema}.${table}`, type: 'integer' }] } }),
    change: ({ filters }) => Promise.resolve([{ check: 'filter', outcome: filters[0] === 'id=eq.1' ? 'yes' : 'no', text: filters.join() }]),
  }

  async function answer(node: NodeInProcess, socket: SocketInProcess, question: unknown): Promise<WhyAnswer> {
    const reply = await ask(node, socket, 'admin_why', question)
    expect(reply.status).toBe('ok')
    return reply.response as WhyAnswer
  }

  test('a private topic without a database, a public one, and one that was not joined', async () => {
    const node = new NodeInProcess({}, { admin })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    await client.join('realtime:room')
    const user = { connection: '2' }
    expect(await answer(node, socket, { about: 'topic', user, topic: 'room', private: false })).toMatchObject({ allowed: true })
    const denied = await answer(node, socket, { about: 'topic', user, topic: 'room', private: true })
    expect(denied).toMatchObject({ allowed: false, verdict: expect.stringContaining('without a database') as string })
    const elsewhere = await answer(node, socket, { about: 'topic', user, topic: 'other', private: false })
    expect(elsewhere.steps.find(({ outcome }) => outcome === 'no')).toMatchObject({ check: 'subscription' })
    expect(await ask(node, socket, 'admin_why', { about: 'topic', user: { connection: '99' }, topic: 'x', private: false })).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching('^UnknownConnection') as string },
    })
  })

  test('a limit that closed the channel', async () => {
    const node = new NodeInProcess({ limits: { ...noLimits, maxPresenceCallsPerWindow: 1 } }, { admin })
    const client = node.connect()
    await client.join('realtime:room')
    for (let n = 0; n < 3; n++) client.send({ topic: 'realtime:room', event: 'presence', payload: { event: 'track', payload: { n } } })
    await node.settle()
    const decidedAt = node.runtime.now()
    node.runtime.advance(12_345)
    const socket = node.connect()
    await enter(node, socket)
    const { allowed, verdict, steps } = await answer(node, socket, {
      about: 'topic',
      user: { connection: '1' },
      topic: 'room',
      private: false,
    })
    expect(allowed).toBe(false)
    expect(verdict).toContain('Client presence rate limit exceeded')
    expect(steps.filter(({ outcome }) => outcome === 'no')[0]).toMatchObject({ check: 'limit' })
    expect(steps.find(({ check }) => check === 'decision')!.text).toContain('too-many-presence-calls')
    expect(steps.map(({ check, at }) => [check, at])).toEqual(
      expect.arrayContaining([
        ['limit', decidedAt],
        ['decision', decidedAt],
      ]),
    )
  })

  test('policies are asked about the identity of the channel', async () => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const socket = node.connect()
    await enter(node, socket)
    const asRole = { about: 'topic', user: { role: 'authenticated', claims: { sub: 'u' } }, private: true }
    expect(await answer(node, socket, { ...asRole, topic: 'open' })).toMatchObject({ allowed: true })
    expect((await answer(node, socket, { ...asRole, topic: 'closed' })).verdict).toContain('Policies say so to authenticated.')
  })

  test.each([
    [1_700_000_000, 'no', 1_700_000_000_000],
    [1_900_000_000.5, 'yes', 1_900_000_000_500],
    [1e300, 'yes', 8.64e15],
    [-1e300, 'no', -8.64e15],
    [undefined, 'yes', undefined],
    ['soon', 'yes', undefined],
  ] as const)('a token says when it expires: %s', async (exp, outcome, at) => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const socket = node.connect()
    await enter(node, socket)
    const user = { role: 'authenticated', claims: { exp } }
    const { steps } = await answer(node, socket, { about: 'topic', user, topic: 'open', private: true })
    expect(steps[0]).toMatchObject({ check: 'token', outcome })
    expect(steps[0]!.at).toBe(at)
  })

  test('the key of a table, for a question about one of its rows', async () => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const socket = node.connect()
    await enter(node, socket)
    expect(await ask(node, socket, 'admin_table', { schema: 'public', table: 'todos' })).toEqual({
      status: 'ok',
      response: { primaryKey: [{ name: 'key of public.todos', type: 'integer' }] },
    })
    const without = new NodeInProcess({}, { admin })
    const other = without.connect()
    await enter(without, other)
    expect(await ask(without, other, 'admin_table', { schema: 'public', table: 'todos' })).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching('^NoDatabase: ') as string },
    })
  })

  test('a change is tested with the filters of the connection, and not with those of others', async () => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    const postgres_changes = [{ event: '*', schema: 'public', table: 'todos', filter: 'id=eq.1' }]
    await client.join('realtime:todos', { postgres_changes })
    const question = { about: 'change', user: { connection: '2' }, schema: 'public', table: 'todos', key: { id: '1' } }
    expect(await answer(node, socket, question)).toMatchObject({ allowed: true })
    expect((await answer(node, socket, { ...question, filter: 'id=eq.2' })).verdict).toContain('id=eq.2')
    const other = await answer(node, socket, { ...question, table: 'others' })
    expect(other.verdict).toContain('asked for changes of public.others')
    expect(other.steps.find(({ outcome }) => outcome === 'no')).toMatchObject({ check: 'subscription' })
  })

  describe('whether an entry names the table (rule D1)', () => {
    const asks = async (entry: { schema?: string; table?: string }, table: string, schema = 'public'): Promise<string> => {
      const published = ['room_1', 'roomx1', 'rooms']
      const entriesNaming: Explainer['entriesNaming'] = (entries, asked) =>
        Promise.resolve(entries.filter((each) => each.table === asked.table || !published.includes(each.table)))
      const node = new NodeInProcess({}, { admin: { ...admin, explainer: { ...explainer, entriesNaming } } })
      const [socket, client] = [node.connect(), node.connect()]
      await enter(node, socket)
      await client.join('realtime:rooms', { postgres_changes: [{ event: '*', ...entry }] })
      const { steps } = await answer(node, socket, { about: 'change', user: { connection: '2' }, schema, table, key: {} })
      return steps.find(({ check }) => check === 'subscription')!.outcome
    }

    test('an old client asks by its topic (rule J6)', async () => {
      const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
      const [socket, client] = [node.connect(), node.connect()]
      await enter(node, socket)
      client.send({ topic: 'realtime:public:rooms', event: 'phx_join', ref: '1', joinRef: '1', payload: {} })
      const question = { about: 'change', user: { connection: '2' }, schema: 'public', key: {} } as const
      const outcomeOf = async (table: string): Promise<string | undefined> =>
        (await answer(node, socket, { ...question, table })).steps.find(({ check }) => check === 'subscription')?.outcome
      expect([await outcomeOf('rooms'), await outcomeOf('others')]).toEqual(['yes', 'no'])
    })

    test('a name that a table has exactly is no pattern', async () => {
      expect(await asks({ schema: 'public', table: 'room_1' }, 'room_1')).toBe('yes')
      expect(await asks({ schema: 'public', table: 'room_1' }, 'roomx1')).toBe('no')
      expect(await asks({ schema: 'public', table: 'room__' }, 'roomx1')).toBe('yes')
    })

    test('a table alone is one of the schema public, a schema alone stands for its tables', async () => {
      expect(await asks({ table: 'rooms' }, 'rooms')).toBe('yes')
      expect(await asks({ table: 'rooms' }, 'rooms', 'private')).toBe('no')
      expect(await asks({ schema: 'private' }, 'rooms', 'private')).toBe('yes')
      expect(await asks({}, 'rooms')).toBe('no')
    })
  })
})
