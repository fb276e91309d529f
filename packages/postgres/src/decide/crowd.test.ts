import { expect, test } from 'vitest'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { Batch } from './batch.ts'
import { parseChangeEntry } from '../subscribe/change-entry.ts'
import { Crowd, questionsOf } from './crowd.ts'
import { FeedChannel, type Binding, type Subscription } from '../subscribe/feed-channel.ts'
import { Identities } from '../catalog/identity.ts'
import type { TableEntry } from '../catalog/table-entry.ts'

const identities = new Identities()
const table: Table = {
  oid: 1,
  schema: 'public',
  name: 'notes',
  columns: [],
  primaryKey: [],
  rowSecurity: true,
  forceRowSecurity: false,
  replicaIdentity: 'default',
  inCatalog: true,
}
const entry: TableEntry = {
  oid: 1,
  schema: 'public',
  name: 'notes',
  rowSecurity: true,
  replicaIdentityFull: false,
  partitioned: false,
  columns: [],
  primaryKey: [],
  claims: 'all',
  ownerColumns: new Map(),
  roles: new Map(),
  reach: { tables: [], functions: [] },
}

function subscribe(crowd: Crowd, sub: string, event: string, changed: Partial<Binding> = {}): Subscription {
  const parsed = parseChangeEntry(1, { event, schema: 'public', table: 'notes' })
  if (!parsed.ok) throw new Error(parsed.message)
  const identity = { role: 'authenticated', claims: { sub }, headers: {} }
  const channel = new FeedChannel(
    { subTopic: sub, entries: [], identity, positions: false, since: null, deletes: 'all', legacy: false },
    [parsed.entry],
    { change: () => {}, system: () => {} },
  )
  channel.live = true
  const checked = identities.of('authenticated', identity.claims, 'all')
  const binding: Binding = {
    role: 'authenticated',
    fault: null,
    columns: '',
    identity: checked,
    keyOnly: true,
    owner: null,
    place: null,
    ...changed,
  }
  const subscription: Subscription = { channel, entry: parsed.entry, order: 0, oid: 1, filters: [], select: null, binding }
  crowd.members.add(subscription)
  return subscription
}

function change(action: RowChange['action'], seq: number): RowChange {
  return { action, table, transaction: { commitLsn: 1n, commitTime: 0n, xid: 1 }, seq, newTuple: null, old: null }
}

test('each identity of a crowd asks once for the changes of an event', () => {
  const crowd = new Crowd()
  const [one, another, updates, other] = [
    subscribe(crowd, 'a', '*'),
    subscribe(crowd, 'a', '*'),
    subscribe(crowd, 'a', 'UPDATE'),
    subscribe(crowd, 'b', '*'),
  ]
  const changes = [change('INSERT', 0), change('UPDATE', 1)]
  const { questions, former } = questionsOf(crowd, changes, entry)
  expect(former).toEqual([])
  expect(questions.map(({ members }) => members)).toEqual([[one, another], [other], [updates]])
  expect(questions.map((question) => question.changes)).toEqual([changes, changes, [changes[1]]])
  // Those who want the same rows are asked about together, which is told by the array.
  expect(questions[0]!.changes).toBe(questions[1]!.changes)
  expect(questionsOf(crowd, [changes[0]!], entry).questions).toHaveLength(2)
})

test('who is closed, replays, or is of the crowd no more is not asked for with it', () => {
  const crowd = new Crowd()
  subscribe(crowd, 'closed', '*').channel.closed = true
  subscribe(crowd, 'replaying', '*').channel.live = false
  subscribe(crowd, 'unbound', '*').binding = null
  const owner = subscribe(crowd, 'owner', '*', { owner: { column: 'owner', value: 'owner' } })
  const fault = subscribe(crowd, 'fault', '*', { fault: 'unauthorized' })
  const unchecked = subscribe(crowd, 'unchecked', '*', { identity: null })
  const changes = [change('INSERT', 0)]
  const { questions, former } = questionsOf(crowd, changes, entry)
  expect(questions).toEqual([])
  expect(former).toEqual([owner, fault, unchecked].map((subscription) => ({ subscription, changes })))
})

test('a batch holds as many changes as the crowd is likely to be told of', () => {
  const crowd = new Crowd()
  for (let number = 0; number < 260; number++) subscribe(crowd, `${number}`, '*')
  const weightOfOne = (): number => {
    const batch = new Batch()
    batch.ask(crowd, change('INSERT', 0))
    return batch.weight
  }
  // Nothing is known yet: all of them may see it.
  expect(weightOfOne()).toBe(260)
  crowd.noteShare(0)
  expect(weightOfOne()).toBe(130)
  for (let times = 0; times < 10; times++) crowd.noteShare(0)
  expect(weightOfOne()).toBe(10)
  crowd.noteShare(1)
  expect(weightOfOne()).toBe(260)
})
