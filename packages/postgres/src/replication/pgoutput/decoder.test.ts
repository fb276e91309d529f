import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodePgoutput } from './decoder.ts'
import { Slabs } from './slabs.ts'
import type { PgoutputMessage } from './message.ts'
import type { Tuple } from './tuple.ts'

type Cell = string | null | undefined

const u8 = (value: number): Buffer => Buffer.from([value])
const u16 = (value: number): Buffer => sized(2, (buffer) => buffer.writeUInt16BE(value))
const u32 = (value: number): Buffer => sized(4, (buffer) => buffer.writeUInt32BE(value))
const i32 = (value: number): Buffer => sized(4, (buffer) => buffer.writeInt32BE(value))
const u64 = (value: bigint): Buffer => sized(8, (buffer) => buffer.writeBigUInt64BE(value))
const i64 = (value: bigint): Buffer => sized(8, (buffer) => buffer.writeBigInt64BE(value))
const str = (value: string): Buffer => Buffer.from(`${value}\0`)

function sized(size: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(size)
  write(buffer)
  return buffer
}

function bytes(tag: string, ...parts: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(tag), ...parts])
}

function tuple(tag: string, cells: readonly Cell[]): Buffer {
  return bytes(
    tag,
    u16(cells.length),
    ...cells.map((cell) => {
      if (cell === null) return Buffer.from('n')
      if (cell === undefined) return Buffer.from('u')
      return bytes('t', u32(Buffer.byteLength(cell)), Buffer.from(cell))
    }),
  )
}

function cellsOf(read: Tuple): Cell[] {
  return Array.from({ length: read.length }, (_, column) => read.text(column))
}

function decode(buffer: Buffer): PgoutputMessage {
  const result = decodePgoutput(buffer)
  if (!result.ok) throw new Error(result.detail)
  return result.message
}

const SAMPLES = {
  begin: bytes('B', u64(0x16_b374_d848n), i64(757_382_400_000_001n), u32(4_000_000_000)),
  commit: bytes('C', u8(0), u64(1n), u64(2n), i64(-1n)),
  origin: bytes('O', u64(9n), str('north')),
  relation: bytes(
    'R',
    u32(16_384),
    str('public'),
    str('notes'),
    Buffer.from('d'),
    u16(2),
    u8(1),
    str('id'),
    u32(20),
    i32(-1),
    u8(0),
    str('naïve'),
    u32(1043),
    i32(24),
  ),
  type: bytes('Y', u32(16_400), str('public'), str('mood')),
  insert: bytes('I', u32(16_384), tuple('N', ['1', 'é😀', null])),
  update: bytes('U', u32(16_384), tuple('K', ['1', null, null]), tuple('N', ['2', undefined, ''])),
  delete: bytes('D', u32(16_384), tuple('O', ['1', 'x', null])),
  truncate: bytes('T', u32(2), u8(3), u32(16_384), u32(16_390)),
} satisfies Partial<Record<PgoutputMessage['kind'] | 'origin' | 'type', Buffer>>

describe('every message', () => {
  test('begin', () =>
    expect(decode(SAMPLES.begin)).toEqual({
      kind: 'begin',
      commitLsn: 0x16_b374_d848n,
      commitTime: 1_704_067_200_000_001n,
      xid: 4_000_000_000,
    }))

  test('commit', () => expect(decode(SAMPLES.commit)).toEqual({ kind: 'commit', commitLsn: 1n, endLsn: 2n }))

  test('origin and type', () => {
    expect(decode(SAMPLES.origin)).toEqual({ kind: 'other' })
    expect(decode(SAMPLES.type)).toEqual({ kind: 'other' })
  })

  test('relation', () => {
    expect(decode(SAMPLES.relation)).toEqual({
      kind: 'relation',
      oid: 16_384,
      schema: 'public',
      table: 'notes',
      replicaIdentity: 'default',
      columns: [
        { name: 'id', key: true, typeOid: 20 },
        { name: 'naïve', key: false, typeOid: 1043 },
      ],
    })
  })

  test('a relation of the catalog has no schema on the wire', () =>
    expect(decode(bytes('R', u32(1), str(''), str('pg_class'), Buffer.from('n'), u16(0)))).toMatchObject({
      schema: 'pg_catalog',
      replicaIdentity: 'nothing',
    }))

  test('insert', () => {
    const message = decode(SAMPLES.insert)
    expect(message).toMatchObject({ kind: 'insert', relationOid: 16_384 })
    expect(message.kind === 'insert' && cellsOf(message.newTuple)).toEqual(['1', 'é😀', null])
  })

  test.each(['K', 'O', ''] as const)('update with old tuple %o', (tag) => {
    const old = tag === '' ? Buffer.alloc(0) : tuple(tag, ['1', null, null])
    const message = decode(bytes('U', u32(7), old, tuple('N', ['2', undefined, ''])))
    if (message.kind !== 'update') throw new Error(message.kind)
    expect(cellsOf(message.newTuple)).toEqual(['2', undefined, ''])
    expect(message.old?.extent).toBe({ K: 'key', O: 'full', '': undefined }[tag])
    // A key tuple has nulls where the replica identity has no column.
    const none = tag === 'K' ? undefined : null
    if (message.old !== null) expect(cellsOf(message.old.tuple)).toEqual(['1', none, none])
  })

  test.each(['K', 'O'] as const)('delete with old tuple %o', (tag) => {
    const message = decode(bytes('D', u32(7), tuple(tag, ['1'])))
    expect(message).toMatchObject({ kind: 'delete', relationOid: 7, old: { extent: tag === 'K' ? 'key' : 'full' } })
  })

  test('truncate', () => expect(decode(SAMPLES.truncate)).toEqual({ kind: 'truncate', relationOids: [16_384, 16_390] }))
})

describe('hostile bytes', () => {
  test('every message cut at every byte is a fault, never a throw', () => {
    for (const sample of Object.values(SAMPLES))
      for (let size = 0; size < sample.length; size++) expect(decodePgoutput(sample.subarray(0, size))).toMatchObject({ ok: false })
  })

  test('a cut message is a fault as well when more bytes lie behind it in the buffer', () => {
    for (const sample of Object.values(SAMPLES))
      for (let size = 0; size < sample.length; size++) expect(decodePgoutput(sample, 0, size)).toMatchObject({ ok: false })
  })

  test('bytes after a message', () => {
    for (const sample of Object.values(SAMPLES))
      expect(decodePgoutput(Buffer.concat([sample, Buffer.from('x')]))).toMatchObject({ ok: false, code: 'trailing-bytes' })
  })

  test.each([
    ['an unknown message', bytes('Z'), 'unknown-message'],
    ['a message of SQL, which was not asked for', bytes('M', u8(1), u64(5n), str('rt:x'), u32(0)), 'unknown-message'],
    ['an unknown cell', bytes('I', u32(1), bytes('N', u16(1), Buffer.from('x'))), 'malformed-tuple'],
    ['a binary cell, which was not asked for', bytes('I', u32(1), bytes('N', u16(1), Buffer.from('b'), u32(0))), 'malformed-tuple'],
    ['a cell longer than the message', bytes('I', u32(1), bytes('N', u16(1), Buffer.from('t'), u32(0xffff_ffff))), 'malformed-tuple'],
    ['more cells than there are', bytes('I', u32(1), bytes('N', u16(0xffff), Buffer.from('n'))), 'malformed-tuple'],
    ['an insert without its tuple', bytes('I', u32(1), tuple('K', [])), 'malformed-field'],
    ['a delete with a new tuple', bytes('D', u32(1), tuple('N', [])), 'malformed-field'],
    ['an unknown replica identity', bytes('R', u32(1), str('a'), str('b'), Buffer.from('x'), u16(0)), 'malformed-field'],
    ['a truncate of more tables than there are', bytes('T', u32(0xffff_ffff), u8(0)), 'truncated'],
    ['a text without an end', bytes('Y', u32(1), Buffer.from('public')), 'truncated'],
  ] as const)('%s', (_name, buffer, code) => expect(decodePgoutput(buffer)).toMatchObject({ ok: false, code }))

  test('random bytes and broken samples give a fault or a message that can be read', () => {
    const broken = fc
      .tuple(
        fc.constantFrom(...Object.values(SAMPLES)),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
      )
      .map(([sample, edits]) => {
        const copy = Buffer.from(sample)
        for (const [at, value] of edits) copy[at % copy.length] = value
        return copy
      })
    const random = fc
      .tuple(fc.constantFrom('B', 'C', 'O', 'R', 'Y', 'I', 'U', 'D', 'T', 'M'), fc.uint8Array({ maxLength: 80 }))
      .map(([tag, rest]) => bytes(tag, Buffer.from(rest)))
    fc.assert(
      fc.property(fc.oneof(broken, random), (buffer) => {
        const result = decodePgoutput(buffer)
        if (!result.ok) {
          expect(result.detail).not.toBe('')
          return
        }
        const { message } = result
        if (message.kind === 'insert' || message.kind === 'update') cellsOf(message.newTuple)
        if (message.kind === 'delete') cellsOf(message.old.tuple)
        expect([...Object.keys(SAMPLES), 'other']).toContain(message.kind)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('tuples', () => {
  const cells = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constant(null), fc.constant(undefined)), { maxLength: 30 })

  test('give back what was written, in any order of asking', () => {
    fc.assert(
      fc.property(cells, fc.uint8Array({ maxLength: 10 }), (written, before) => {
        const head = Buffer.from(before)
        const buffer = Buffer.concat([head, bytes('I', u32(1), tuple('N', written)), head])
        const result = decodePgoutput(buffer, head.length, buffer.length - head.length)
        if (!result.ok || result.message.kind !== 'insert') throw new Error('not an insert')
        for (const read of [result.message.newTuple, result.message.newTuple.detach(new Slabs())]) {
          expect(cellsOf(read)).toEqual(written.map((cell) => (typeof cell === 'string' ? Buffer.from(cell).toString() : cell)))
          for (let column = written.length - 1; column >= 0; column--) {
            const cell = written[column]
            expect(read.text(column)).toBe(typeof cell === 'string' ? Buffer.from(cell).toString() : cell)
            expect(read.bytes(column)).toEqual(typeof cell === 'string' ? Buffer.from(cell) : null)
          }
        }
      }),
    )
  })

  test('detach copies, so that the rest of the read can be freed', () => {
    const buffer = bytes('I', u32(1), tuple('N', ['abc']))
    const message = decode(buffer)
    if (message.kind !== 'insert') throw new Error(message.kind)
    const own = message.newTuple.detach(new Slabs())
    buffer.fill(0)
    expect(own.text(0)).toBe('abc')
    expect(own.byteLength).toBe(8)
  })

  test('a column that is not there is a mistake of the caller', () => {
    const message = decode(SAMPLES.insert)
    if (message.kind !== 'insert') throw new Error(message.kind)
    for (const column of [-1, 3, Number.NaN]) expect(() => message.kind === 'insert' && message.newTuple.text(column)).toThrow(RangeError)
  })
})
