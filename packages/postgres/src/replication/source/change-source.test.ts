import { beforeEach, describe, expect, test } from 'vitest'
import { FakePort, FakeSession, FakeTimers, NOTHING_NEW } from '../../../test/fake-replication.ts'
import { beginBytes, commitBytes, insertBytes, relationBytes } from '../../../test/pgoutput-bytes.ts'
import { ReplicationError, type ReplicationFault } from '../replication-fault.ts'
import type { AttachOutcome } from '../replication-port.ts'
import type { RowChange } from '../transaction-assembler.ts'
import type { ChangeSource, ChangeSourceHandlers } from './change-source-api.ts'
import { ReplicationSource } from './change-source.ts'

const tuning = {
  statusIntervalMs: 10_000,
  nudgeIntervalMs: 1_000_000,
  reportDelayMs: 250,
  checkIntervalMs: 5_000,
  advanceIntervalMs: 20_000,
  maxBatchChanges: 3,
}

let port: FakePort
let timers: FakeTimers
let log: string[]
let source: ChangeSource

beforeEach(() => {
  port = new FakePort()
  timers = new FakeTimers()
  log = []
  open()
})

function open(more: Partial<ChangeSourceHandlers> = {}): void {
  source = new ReplicationSource(port, timers, tuning, {
    onChanges: (changes) => log.push(describeChanges(changes)),
    onEpoch: ({ epoch, previous, reason }) => log.push(`epoch ${previous} → ${epoch}, ${reason}`),
    onStatus: (status) => log.push(status.kind === 'waiting' ? `waiting: ${status.fault.kind}` : status.kind),
    onProgress: (lsn) => log.push(`progress ${lsn}`),
    onTableGap: ({ tables, before }) => log.push(`gap of ${tables.join()} before ${before}`),
    ...more,
  })
}

function describeChanges(changes: readonly RowChange[]): string {
  return changes.map(({ newTuple, transaction, seq }) => `${newTuple?.text(0)}@${transaction.commitLsn}/${seq}`).join(' ')
}

/** Answers the last attempt to attach. */
async function attach(
  epoch = 'e1',
  confirmedLsn = 100n,
  more: Partial<Pick<AttachOutcome & { ok: true }, 'gaps'>> = {},
): Promise<FakeSession> {
  const session = new FakeSession()
  port.attempts.at(-1)!.answer({ ok: true, session, epoch, confirmedLsn, ...AT_ATTACH, ...more })
  await settled()
  return session
}

const AT_ATTACH = { log: 'l1', logBegin: 0n, reason: 'found', begunLsn: 90n, serverLsn: 0n, gaps: [] } as const

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

function take(): string[] {
  return log.splice(0)
}

/** A session that has described table 1. */
async function attachWithTable(): Promise<FakeSession> {
  const session = await attach()
  session.send(beginBytes(110n), relationBytes(), insertBytes('a'), commitBytes(110n))
  session.loads[0]!.answer()
  await settled()
  take()
  return session
}

describe('changes', () => {
  test('come in batches of what one read brought, and then how far they go', async () => {
    const session = await attach()
    session.send(beginBytes(110n), relationBytes(), insertBytes('a'), insertBytes('b'), commitBytes(110n))
    expect(take()).toEqual(['epoch null → e1, found', 'streaming'])
    session.loads[0]!.answer()
    await settled()
    expect(take()).toEqual(['a@110/0 b@110/1', 'progress 115'])
    expect([source.epoch, source.receivedLsn, source.confirmedLsn]).toEqual(['e1', 115n, 100n])
  })

  test('of several transactions share a batch, those of a large one are spread', async () => {
    const session = await attachWithTable()
    session.send(
      beginBytes(120n),
      insertBytes('b'),
      commitBytes(120n),
      beginBytes(130n),
      ...'cdefg'.split('').map((value) => insertBytes(value)),
    )
    expect(take()).toEqual(['b@120/0 c@130/0 d@130/1', 'progress 125', 'e@130/2 f@130/3 g@130/4'])
    session.send(commitBytes(130n))
    expect(take()).toEqual(['progress 135'])
  })

  test('that follow a description wait for the catalog, and later ones behind them', async () => {
    const session = await attachWithTable()
    session.send(beginBytes(120n), insertBytes('b'), relationBytes(2), insertBytes('c', 2), insertBytes('d'), commitBytes(120n))
    expect(take()).toEqual(['b@120/0'])
    expect(session.paused).toBe(true)
    session.loads[1]!.answer()
    await settled()
    expect(take()).toEqual(['c@120/1 d@120/2', 'progress 125'])
    expect(session.paused).toBe(false)
  })

  test('empty transactions and keepalives are progress', async () => {
    const session = await attachWithTable()
    session.send(beginBytes(120n), commitBytes(120n))
    for (let count = 0; count < 2; count++) {
      session.receiver?.keepalive(150n, false)
      session.receiver?.drained()
    }
    expect(take()).toEqual(['progress 125', 'progress 150'])
  })

  test('that came together go together, before the progress of a keepalive between or behind them is reported', async () => {
    const session = await attachWithTable()
    const { receiver } = session
    for (const [lsn, value] of [
      [120n, 'b'],
      [140n, 'c'],
    ] as const) {
      for (const bytes of [beginBytes(lsn), insertBytes(value), commitBytes(lsn)]) receiver?.data(bytes, 0, bytes.length)
      receiver?.keepalive(lsn + 10n, false)
    }
    expect(take()).toEqual([])
    receiver?.drained()
    expect(take()).toEqual(['b@120/0 c@140/0', 'progress 150'])
  })
})

describe('pause', () => {
  test('stops after the batch at hand and goes on where it was', async () => {
    const session = await attachWithTable()
    source.pause()
    session.send(beginBytes(120n), insertBytes('b'), commitBytes(120n))
    expect(take()).toEqual([])
    source.resume()
    expect(take()).toEqual(['b@120/0', 'progress 125'])
  })

  test('by the consumer outlasts the wait for the catalog', async () => {
    const session = await attach()
    session.send(beginBytes(110n), relationBytes(), insertBytes('a'), commitBytes(110n))
    source.pause()
    session.loads[0]!.answer()
    await settled()
    expect(session.paused).toBe(true)
    source.resume()
    expect(take().at(-2)).toBe('a@110/0')
  })

  test('resume does not end the wait for the catalog', async () => {
    const session = await attach()
    session.send(beginBytes(110n), relationBytes(), insertBytes('a'))
    source.pause()
    source.resume()
    expect(session.paused).toBe(true)
  })

  test('holds over a new connection', async () => {
    const session = await attachWithTable()
    source.pause()
    session.fail()
    timers.fire(100)
    expect((await attach()).paused).toBe(true)
  })
})

describe('a lost connection', () => {
  test('is made again; what was handed over does not come twice', async () => {
    const session = await attachWithTable()
    session.send(beginBytes(120n), insertBytes('b'), insertBytes('c'))
    take()
    session.fail()
    expect(take()).toEqual(['waiting: unreachable'])
    timers.fire(100)
    const next = await attach('e1', 100n)
    expect(next.from).toBe(115n)
    next.send(beginBytes(120n), relationBytes(), insertBytes('b'), insertBytes('c'), insertBytes('d'), commitBytes(120n))
    next.loads[0]!.answer()
    await settled()
    expect(take()).toEqual(['connecting', 'streaming', 'd@120/2', 'progress 125'])
  })

  test('in the middle of a read loses nothing of what had been read', async () => {
    const session = await attachWithTable()
    const { receiver } = session
    for (const bytes of [beginBytes(120n), insertBytes('b')]) receiver?.data(bytes, 0, bytes.length)
    session.fail()
    expect(take()).toEqual(['b@120/0', 'waiting: unreachable'])
  })

  test('with a new epoch starts over and says so', async () => {
    const session = await attachWithTable()
    session.fail({ kind: 'publication-changed', message: '' })
    timers.fire(1_000)
    expect(port.attempts.map((attempt) => attempt.replaceSlot)).toEqual([false, true])
    const next = await attach('e2', 140n)
    expect(next.from).toBe(140n)
    expect(take()).toEqual(['waiting: publication-changed', 'connecting', 'epoch e1 → e2, found', 'streaming'])
    source.confirm('e1', 115n)
    expect(source.confirmedLsn).toBe(140n)
  })

  test.each<[string, Buffer[]]>([
    ['bytes that are no message', [Buffer.from('?')]],
    ['a message that cannot be there', [commitBytes(9n)]],
  ])('%s: the stream is started again', async (_name, messages) => {
    const session = await attachWithTable()
    session.send(...messages)
    expect(take()).toEqual(['waiting: malformed-stream'])
    expect(session.ended).toBe('destroyed')
  })

  test('a catalog that fails takes the stream with it', async () => {
    const session = await attach()
    session.send(beginBytes(110n), relationBytes(), insertBytes('a'))
    session.loads[0]!.fail(Object.assign(new Error('shutting down'), { code: '57P01' }))
    await settled()
    expect(take().at(-1)).toBe('waiting: restarting')
    expect(session.ended).toBe('destroyed')
  })

  test('answers of the catalog for it come too late', async () => {
    const session = await attach()
    session.send(beginBytes(110n), relationBytes(), insertBytes('a'))
    session.fail()
    timers.fire(100)
    const next = await attach()
    take()
    session.loads[0]!.answer()
    await settled()
    expect(take()).toEqual([])
    expect(next.loads).toEqual([])
  })
})

describe('confirming', () => {
  test('is reported soon, and with every status', async () => {
    const session = await attachWithTable()
    source.confirm('e1', 115n)
    expect(session.statuses).toEqual([])
    timers.fire(250)
    expect(session.statuses).toMatchObject([{ received: 115n, flushed: 115n, requestReply: false }])
    timers.fire(10_000)
    expect(session.statuses[1]).toMatchObject({ flushed: 115n, requestReply: true })
  })

  test('the server says now and then how far it is, and which other nodes there are', async () => {
    const session = await attachWithTable()
    session.checks = { ...NOTHING_NEW, serverLsn: 1_100n, peers: ['b'] }
    timers.fire(5_000)
    await settled()
    expect([source.serverLsn, source.peers]).toEqual([1_100n, ['b']])
  })
})

test('a check that finds the slot of no use makes the connection again', async () => {
  const session = await attachWithTable()
  const fault: ReplicationFault = { kind: 'slot-lost', message: 'the anchor slot is gone' }
  session.checks = new ReplicationError(fault)
  timers.fire(5_000)
  await settled()
  expect(take()).toEqual(['waiting: slot-lost'])
  expect(source.status).toEqual({ kind: 'waiting', fault })
})

test('tables that were not published for a while are reported after what came before them', async () => {
  const session = await attachWithTable()
  session.checks = { ...NOTHING_NEW, serverLsn: 200n, gaps: [{ tables: [7, 9], before: 200n }] }
  timers.fire(5_000)
  await settled()
  session.send(beginBytes(120n), insertBytes('b'), commitBytes(120n))
  expect(take()).toEqual(['gap of 7,9 before 200', 'b@120/0', 'progress 125'])
  session.fail()
  timers.fire(100)
  await attach('e1', 100n, { gaps: [{ tables: [7], before: 300n }] })
  expect(take()).toEqual(['waiting: unreachable', 'connecting', 'streaming', 'gap of 7 before 300'])
})

test('a slot that begins behind what was received is a gap in the same epoch', async () => {
  const session = await attachWithTable()
  session.fail()
  timers.fire(100)
  const next = await attach('e1', 500n)
  expect(next.from).toBe(500n)
  expect(take()).toEqual(['waiting: unreachable', 'connecting', 'epoch e1 → e1, fell-behind', 'streaming'])
})

test('the anchor is advanced now and then, and not while there is no connection', async () => {
  const session = await attachWithTable()
  timers.fire(20_000)
  timers.fire(20_000)
  expect(session.advances).toBe(2)
  session.fail()
  expect(timers.armed).not.toContain(20_000)
})

test('what is read to fill the window is distinguished from what is new, from the first connection on', async () => {
  const session = await attachWithTable()
  expect(source.liveFrom).toBe(90n)
  session.fail()
  timers.fire(100)
  const second = new FakeSession()
  port.attempts.at(-1)!.answer({ ok: true, session: second, epoch: 'e1', confirmedLsn: 100n, ...AT_ATTACH, begunLsn: 400n })
  await settled()
  expect(source.liveFrom).toBe(90n)
})

test('all that comes from another log is new', async () => {
  const session = await attachWithTable()
  session.fail()
  timers.fire(100)
  port.attempts
    .at(-1)!
    .answer({ ok: true, session: new FakeSession(), epoch: 'e2', confirmedLsn: 20n, ...AT_ATTACH, log: 'l2', begunLsn: 30n })
  await settled()
  expect(source.liveFrom).toBe(0n)
})

describe('close', () => {
  test('reports, frees the slot and leaves no timer', async () => {
    const session = await attachWithTable()
    source.confirm('e1', 115n)
    await source.close()
    expect(session.statuses.at(-1)).toMatchObject({ flushed: 115n })
    expect(session.ended).toBe('closed')
    expect(timers.armed).toEqual([])
    expect(take()).toEqual(['closed'])
    await source.close()
  })

  test('while connecting waits until the attempt is given up', async () => {
    const closed = source.close()
    const [attempt] = port.attempts
    expect(attempt!.signal.aborted).toBe(true)
    const session = new FakeSession()
    attempt!.answer({ ok: true, session, epoch: 'e1', confirmedLsn: 1n, ...AT_ATTACH })
    await closed
    expect(session.ended).toBe('closed')
    expect(session.from).toBeNull()
    expect(timers.armed).toEqual([])
  })

  test('while waiting stops the next attempt', async () => {
    port.attempts[0]!.answer({ ok: false, fault: { kind: 'refused', code: '28P01', message: 'no' } })
    await settled()
    expect(timers.armed).toEqual([1_000])
    await source.close()
    expect(timers.armed).toEqual([])
    expect(take()).toEqual(['waiting: refused', 'closed'])
  })

  test('from a handler is safe', async () => {
    open({ onEpoch: () => void source.close() })
    const session = await attach()
    expect(session.ended).toBe('closed')
    expect(source.status).toEqual({ kind: 'closed' })
    expect(timers.armed).toEqual([])
  })
})
