import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { begin, commit, insert, relation, table, tuple } from '../../test/replication-samples.ts'
import type { PgoutputMessage } from './pgoutput/message.ts'
import { TransactionAssembler, type RowChange } from './transaction-assembler.ts'

let log: string[]
let changes: RowChange[]
let assembler: TransactionAssembler

beforeEach(() => {
  log = []
  changes = []
  assembler = newAssembler()
})

function newAssembler(): TransactionAssembler {
  return new TransactionAssembler({
    begin: () => log.push('begin'),
    change: (change) => {
      changes.push(change)
      log.push(`${change.action} ${change.table.name} ${change.transaction.commitLsn}/${change.seq}`)
    },
    commit: (endLsn) => log.push(`commit ${endLsn}`),
    relation: ({ oid }) => {
      log.push(`relation ${oid}`)
      assembler.describe(table(oid))
    },
  })
}

function accept(...messages: PgoutputMessage[]): (string | null)[] {
  return messages.map((message) => assembler.accept(message))
}

test('changes come at once, in order, with places that do not need the commit', () => {
  expect(accept(begin(10n), relation(1), insert('a'), insert('b'))).toEqual([null, null, null, null])
  expect(log).toEqual(['begin', 'relation 1', 'INSERT t1 10/0', 'INSERT t1 10/1'])
  accept(commit(10n), begin(20n), insert('c'), commit(20n))
  expect(log.slice(4)).toEqual(['commit 15', 'begin', 'INSERT t1 20/0', 'commit 25'])
  expect(changes[0]?.transaction).toEqual({ commitLsn: 10n, commitTime: 10_000n, xid: 10 })
  expect(changes[0]?.transaction).toBe(changes[1]?.transaction)
})

test('updates, deletes and truncates carry what is known of the old row', () => {
  const old = { extent: 'key', tuple: tuple('1', null) } as const
  accept(begin(10n), relation(1), relation(2))
  accept(
    { kind: 'update', relationOid: 1, old, newTuple: tuple('2', 'x') },
    { kind: 'update', relationOid: 1, old: null, newTuple: tuple('2', 'y') },
  )
  accept({ kind: 'delete', relationOid: 1, old }, { kind: 'truncate', relationOids: [1, 2] })
  expect(changes.map(({ action, newTuple, old: before }) => [action, newTuple?.text(0) ?? null, before?.tuple.text(0) ?? null])).toEqual([
    ['UPDATE', '2', '1'],
    ['UPDATE', '2', null],
    ['DELETE', null, '1'],
    ['TRUNCATE', null, null],
    ['TRUNCATE', null, null],
  ])
  expect(changes.map((change) => change.seq)).toEqual([0, 1, 2, 3, 4])
})

test('a transaction without changes is empty, and other messages pass', () => {
  accept(begin(10n), { kind: 'other' }, commit(10n))
  expect(log).toEqual(['begin', 'commit 15'])
})

test('a table that is described again is another object', () => {
  accept(begin(10n), relation(1), insert('a'), relation(1), insert('b'), commit(10n))
  expect(changes[0]?.table).not.toBe(changes[1]?.table)
})

describe('what cannot be', () => {
  test.each<[string, PgoutputMessage[], RegExp]>([
    ['a change outside of a transaction', [relation(1), insert('a')], /outside/],
    ['a change before its relation', [begin(1n), insert('a')], /before its description/],
    ['a begin inside a transaction', [begin(1n), begin(2n)], /inside another/],
    ['a commit of another transaction', [begin(1n), commit(2n)], /does not belong/],
    ['a commit without a begin', [commit(2n)], /does not belong/],
  ])('%s', (_name, messages, reason) => expect(accept(...messages).at(-1)).toMatch(reason))
})

describe('a new connection', () => {
  test('leaves out what was handed on before, in the middle of a transaction too', () => {
    accept(begin(10n), relation(1), insert('a'), commit(10n), begin(20n), insert('b'))
    assembler.restart(false)
    log.length = 0
    accept(begin(10n), relation(1), insert('a'), commit(10n), begin(20n), insert('b'), insert('c'), commit(20n))
    expect(log).toEqual(['begin', 'relation 1', 'commit 15', 'begin', 'INSERT t1 20/1', 'commit 25'])
  })

  test('must describe its tables again', () => {
    accept(begin(10n), relation(1), insert('a'), commit(10n))
    assembler.restart(false)
    expect(accept(begin(20n), insert('b')).at(-1)).toMatch(/before its description/)
  })

  test('of a new epoch leaves out nothing', () => {
    accept(begin(10n), relation(1), insert('a'), commit(10n))
    assembler.restart(true)
    log.length = 0
    accept(begin(5n), relation(1), insert('a'), commit(5n))
    expect(log).toContain('INSERT t1 5/0')
  })

  test('wherever the stream is cut and wherever it goes on, every change comes once and in order', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(sizes, fc.array(fc.tuple(fc.nat({ max: 60 }), fc.nat({ max: 6 })), { maxLength: 6 }), (transactions, cuts) => {
        changes = []
        assembler = newAssembler()
        const stream = transactions.map((size, index) => {
          const lsn = BigInt(index + 1) * 10n
          return [begin(lsn), relation(1), ...Array.from({ length: size }, (_, seq) => insert(`${lsn}/${seq}`)), commit(lsn)]
        })
        let committed = 0
        for (const [length, back] of [...cuts, [1_000, 0] as const]) {
          // A connection may go on anywhere at or before the first transaction that was not received whole.
          const from = Math.max(0, committed - back)
          const part = stream.slice(from).flat().slice(0, length)
          assembler.restart(false)
          expect(accept(...part).every((fault) => fault === null)).toBe(true)
          committed = Math.max(committed, from + part.filter((message) => message.kind === 'commit').length)
        }
        const wanted = transactions.flatMap((size, index) => Array.from({ length: size }, (_, seq) => `${(index + 1) * 10}/${seq}`))
        expect(changes.map((change) => change.newTuple?.text(0))).toEqual(wanted)
      }),
      { numRuns: 500 },
    )
  })
})
