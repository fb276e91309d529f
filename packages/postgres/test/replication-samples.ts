import type { BeginMessage, CommitMessage, InsertMessage, RelationMessage } from '../src/replication/pgoutput/message.ts'
import { Tuple } from '../src/replication/pgoutput/tuple.ts'
import { describeTable, type Table } from '../src/replication/table.ts'

/** A tuple of texts, nulls and unchanged values. */
export function tuple(...cells: (string | null | undefined)[]): Tuple {
  const parts = cells.map((cell) => {
    if (typeof cell !== 'string') return Buffer.from(cell === null ? 'n' : 'u')
    const bytes = Buffer.from(cell)
    const head = Buffer.from('t\0\0\0\0')
    head.writeUInt32BE(bytes.length, 1)
    return Buffer.concat([head, bytes])
  })
  const buffer = Buffer.concat(parts)
  return new Tuple(buffer, 0, buffer.length, cells.length)
}

export function relation(oid = 1, change: Partial<RelationMessage> = {}): RelationMessage {
  const columns = [
    { name: 'id', key: true, typeOid: 23 },
    { name: 'body', key: false, typeOid: 25 },
  ]
  return { kind: 'relation', oid, schema: 'public', table: `t${oid}`, replicaIdentity: 'default', columns, ...change }
}

export function table(oid = 1): Table {
  return describeTable(relation(oid), null, new Map())
}

export function begin(commitLsn: bigint): BeginMessage {
  return { kind: 'begin', commitLsn, commitTime: commitLsn * 1_000n, xid: Number(commitLsn) }
}

export function commit(commitLsn: bigint): CommitMessage {
  return { kind: 'commit', commitLsn, endLsn: commitLsn + 5n }
}

export function insert(value: string, relationOid = 1): InsertMessage {
  return { kind: 'insert', relationOid, newTuple: tuple(value, null) }
}
