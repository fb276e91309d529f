/** The database of a feed becomes another one, whose log may be anywhere: a standby was promoted, or a copy was restored. */
import { afterEach, expect, test } from 'vitest'
import { FakeDatabase, FakeFeed, fastRuntime, until, type FakeChannel } from '../test/fake-feed.ts'
import { asRole } from '../test/feed.ts'

const OWN = 1
const ENTRY = { event: '*', schema: 'public', table: 'own' }
const ME = asRole('authenticated', { sub: 'me' })

let it: FakeFeed
let epochs: number

function start(): void {
  const database = new FakeDatabase()
  const columns = [{ name: 'id' }, { name: 'owner' }, { name: 'body' }]
  database.add({ oid: OWN, name: 'own', columns, policy: (sub, { owner }) => owner === sub })
  database.lsn = 10_000n
  epochs = 1
  it = new FakeFeed(database, fastRuntime(100))
}
afterEach(() => it.close())

/** From now on the stream brings another log, from `lsn` on, of a server that has written up to `serverLsn`. */
function failOver(lsn: bigint, serverLsn = lsn): void {
  const [previous, epoch] = [`e${epochs}`, `e${++epochs}`]
  it.database.lsn = lsn
  it.feed.attach({
    ...{ epoch, confirmedLsn: lsn, serverLsn, peers: [], status: { kind: 'streaming' } },
    ...{ confirm: () => {}, pause: () => {}, resume: () => {} },
  })
  it.feed.onEpoch({ epoch, previous, reason: 'created', isOtherLog: true })
}

const open = (more: object = {}, entry: object = ENTRY): FakeChannel =>
  it.open({ entries: [entry], identity: ME, positions: true, ...more })
const commit = (id: string): void => it.commit([{ oid: OWN, texts: [id, 'me', 'x'] }])
const ids = ({ changes }: FakeChannel): unknown[] => changes.map(({ record }) => record!['id'])
const gaps = ({ systems }: FakeChannel): unknown[] => systems.flatMap(({ extra }) => (extra?.['resync'] === true ? [extra['reason']] : []))
const holds = (condition: () => boolean): Promise<void> => until(condition, () => it.database.calls.slice(-20))
const unseen = (): Promise<never> => Promise.reject(Object.assign(new Error('not visible yet'), { code: '57P03' }))

test('behind the old one: its changes come, with positions of its epoch, after one notice of the gap', async () => {
  start()
  const channel = open()
  await holds(() => channel.isReady)
  commit('1')
  await holds(() => channel.changes.length === 1)
  failOver(100n)
  commit('2')
  await holds(() => channel.changes.length === 2)
  expect(gaps(channel)).toEqual(['slot-created'])
  expect(channel.changes.map(({ position }) => position!.split('/')[0])).toEqual(['e1', 'e2'])
  commit('3')
  await holds(() => channel.changes.length === 3)
  const again = open({ since: channel.changes[1]!.position })
  await holds(() => again.changes.length === 1)
  expect(ids(again)).toEqual(['3'])
})

test('what the old one left undecided is dropped: it would wait for ever, and is no change of the new one', async () => {
  start()
  const channel = open()
  await holds(() => channel.isReady)
  it.database.intercept = (name) => (name === 'checkRows' ? unseen() : undefined)
  commit('old')
  await holds(() => it.database.calls.filter((name) => name === 'checkRows').length > 1)
  failOver(100n)
  it.database.intercept = () => {}
  commit('new')
  await holds(() => channel.changes.length > 0)
  expect(ids(channel)).toEqual(['new'])
  expect(channel.changes[0]!.position).toMatch(/^e2\//)
})

test('what is being decided while it comes is still one of the old epoch', async () => {
  start()
  const channel = open()
  await holds(() => channel.isReady)
  let answer = (): void => {}
  it.database.intercept = (name) => (name === 'checkRows' ? new Promise<void>((resolve) => (answer = resolve)) : undefined)
  commit('old')
  await holds(() => it.database.calls.includes('checkRows'))
  it.database.intercept = () => {}
  failOver(100n)
  answer()
  commit('new')
  await holds(() => channel.changes.length === 2)
  expect(channel.changes.map(({ position }) => position!.split('/')[0])).toEqual(['e1', 'e2'])
  // It came before the notice.
  expect(gaps(channel)).toEqual(['slot-created'])
})

test('what is decided in isolation is dropped, too, and the channel goes on', async () => {
  start()
  const channel = open({}, { ...ENTRY, filter: 'body=like.%x%' })
  await holds(() => channel.isReady)
  it.database.intercept = (name) => (name.startsWith('isolated.') ? unseen() : undefined)
  commit('old')
  await holds(() => it.database.calls.filter((name) => name.startsWith('isolated.')).length > 1)
  failOver(100n)
  it.database.intercept = () => {}
  commit('new')
  await holds(() => channel.changes.length > 0)
  expect(ids(channel)).toEqual(['new'])
  await holds(() => it.feed.progress().oldestAt === null)
})

test('what a channel holds that is being subscribed is dropped, and where it began in the old log does not count', async () => {
  start()
  const live = open()
  await holds(() => live.isReady)
  const asked = it.database.calls.filter((name) => name === 'insertLsn').length
  const answers: (() => void)[] = []
  it.database.intercept = (name) => (name === 'insertLsn' ? new Promise<void>((resolve) => void answers.push(resolve)) : undefined)
  const channel = open()
  await holds(() => it.database.calls.filter((name) => name === 'insertLsn').length > asked)
  commit('old')
  await holds(() => live.changes.length === 1)
  failOver(100n)
  await holds(() => gaps(live).length > 0)
  it.database.intercept = (name) => {
    if (name === 'insertLsn') it.database.lsn = 100n
  }
  // A session that is still one of the old database answers.
  it.database.lsn = 20_000n
  for (const answer of answers) answer()
  await holds(() => channel.isReady)
  it.database.lsn = 100n
  commit('new')
  await holds(() => channel.changes.length > 0)
  expect(ids(channel)).toEqual(['new'])
})

test('a channel that resumes, and waits for what the old one would have brought, is answered', async () => {
  start()
  const channel = open()
  await holds(() => channel.isReady)
  commit('1')
  await holds(() => channel.changes.length === 1)
  // The server has written more than the stream has brought.
  it.database.lsn += 5_000n
  const again = open({ since: channel.changes[0]!.position })
  const asked = it.database.calls.filter((name) => name === 'insertLsn').length
  await holds(() => it.database.calls.filter((name) => name === 'insertLsn').length > asked)
  failOver(100n)
  await holds(() => again.isReady)
  expect(again.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra).toMatchObject({
    recovered: false,
    reason: 'other-epoch',
  })
  commit('2')
  await holds(() => ids(again).includes('2'))
})

test('a channel that resumes while it is asked what is on disk gets nothing by its position in the old one', async () => {
  start()
  const channel = open()
  await holds(() => channel.isReady)
  commit('1')
  await holds(() => channel.changes.length === 1)
  const answers: (() => void)[] = []
  it.database.intercept = (name) => (name === 'flushLsn' ? new Promise<void>((resolve) => void answers.push(resolve)) : undefined)
  const again = open({ since: channel.changes[0]!.position })
  await holds(() => answers.length > 0)
  failOver(100n)
  await holds(() => gaps(channel).length > 0)
  it.database.intercept = () => undefined
  for (const answer of answers) answer()
  await holds(() => again.isReady)
  expect(again.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')!.extra).not.toMatchObject({ recovered: true })
})

test('a node that was still reading the window of the old one becomes ready with the new one', async () => {
  start()
  failOver(100n, 5_000n)
  commit('1')
  await holds(() => it.feed.progress().oldestAt === null)
  expect(it.feed.progress().unready).toEqual(expect.any(String))
  failOver(50n, 60n)
  commit('2')
  await holds(() => it.feed.progress().unready === null)
})
