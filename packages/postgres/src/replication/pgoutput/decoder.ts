import { ByteReader, type Refusal } from './byte-reader.ts'
import {
  POSTGRES_EPOCH_US,
  type OldTuple,
  type PgoutputMessage,
  type RelationColumn,
  type RelationMessage,
  type ReplicaIdentity,
  type UpdateMessage,
} from './message.ts'
import { Tuple, tupleEnd } from './tuple.ts'

/** Why bytes are no pgoutput message. After one of these the stream cannot be followed: it has to be started again. */
export interface PgoutputFault {
  readonly ok: false
  readonly code: 'truncated' | 'unknown-message' | 'trailing-bytes' | Refusal['code']
  readonly detail: string
}

export type DecodedPgoutput = { readonly ok: true; readonly message: PgoutputMessage } | PgoutputFault

/** Reads one message of the plugin `pgoutput`, protocol version 1, from `offset` to the end. Tuples stay windows on `buffer`. */
export function decodePgoutput(buffer: Buffer, offset = 0, end: number = buffer.length): DecodedPgoutput {
  const reader = new ByteReader(buffer, offset, end)
  if (reader.remaining === 0) return fault('truncated', 'the message is empty')
  const message = readMessage(reader)
  if (message === null) return fault('unknown-message', `there is no message 0x${buffer[offset]!.toString(16)}`)
  if (reader.refused !== null) return fault(reader.refused.code, `the ${message.kind} message has ${reader.refused.what}`)
  if (reader.overrun) return fault('truncated', `the ${message.kind} message ends too early`)
  if (reader.remaining > 0) return fault('trailing-bytes', `${reader.remaining} bytes follow the ${message.kind} message`)
  return { ok: true, message }
}

function readMessage(reader: ByteReader): PgoutputMessage | null {
  switch (String.fromCharCode(reader.uint8())) {
    case 'I':
      return { kind: 'insert', relationOid: reader.uint32(), newTuple: readNewTuple(reader, reader.uint8()) }
    case 'U':
      return readUpdate(reader)
    case 'D':
      return { kind: 'delete', relationOid: reader.uint32(), old: readOldTuple(reader, reader.uint8()) }
    case 'B':
      return { kind: 'begin', commitLsn: reader.uint64(), commitTime: reader.int64() + POSTGRES_EPOCH_US, xid: reader.uint32() }
    case 'C':
      return readCommit(reader)
    case 'R':
      return readRelation(reader)
    case 'Y':
      reader.skip(4)
      reader.text()
      reader.text()
      return { kind: 'other' }
    case 'T':
      return readTruncate(reader)
    case 'O':
      reader.skip(8)
      reader.text()
      return { kind: 'other' }
    default:
      return null
  }
}

function readCommit(reader: ByteReader): PgoutputMessage {
  reader.skip(1) // flags
  const message = { kind: 'commit', commitLsn: reader.uint64(), endLsn: reader.uint64() } as const
  reader.skip(8) // the time, which its begin has named
  return message
}

function readUpdate(reader: ByteReader): UpdateMessage {
  const relationOid = reader.uint32()
  const tag = reader.uint8()
  if (tag === NEW_TUPLE) return { kind: 'update', relationOid, old: null, newTuple: readTuple(reader) }
  return { kind: 'update', relationOid, old: readOldTuple(reader, tag), newTuple: readNewTuple(reader, reader.uint8()) }
}

const NEW_TUPLE = 0x4e // N
const KEY_TUPLE = 0x4b // K
const OLD_TUPLE = 0x4f // O

function readNewTuple(reader: ByteReader, tag: number): Tuple {
  if (tag !== NEW_TUPLE) reader.refuse('malformed-field', 'no tuple where one belongs')
  return readTuple(reader)
}

function readOldTuple(reader: ByteReader, tag: number): OldTuple {
  if (tag !== KEY_TUPLE && tag !== OLD_TUPLE) reader.refuse('malformed-field', 'no tuple where one belongs')
  return { extent: tag === KEY_TUPLE ? 'key' : 'full', tuple: readTuple(reader, tag === KEY_TUPLE) }
}

function readTuple(reader: ByteReader, keyOnly = false): Tuple {
  const count = reader.uint16()
  const start = reader.offset
  const end = tupleEnd(reader.buffer, start, reader.end, count)
  if (end < 0) reader.refuse('malformed-tuple', 'a tuple that does not fit')
  else reader.offset = end
  return new Tuple(reader.buffer, start, end, count, { keyOnly })
}

function readRelation(reader: ByteReader): RelationMessage {
  const oid = reader.uint32()
  const schema = reader.text()
  const table = reader.text()
  const identity = REPLICA_IDENTITIES[String.fromCharCode(reader.uint8())]
  const count = reader.uint16()
  const columns: RelationColumn[] = []
  for (let column = 0; column < count && !reader.overrun; column++) {
    const key = (reader.uint8() & 1) === 1
    columns.push({ name: reader.text(), key, typeOid: reader.uint32() })
    reader.skip(4) // the type's modifier
  }
  if (identity === undefined) reader.refuse('malformed-field', 'an unknown replica identity')
  // Tables of the catalog come with an empty schema.
  return { kind: 'relation', oid, schema: schema === '' ? 'pg_catalog' : schema, table, replicaIdentity: identity ?? 'default', columns }
}

const REPLICA_IDENTITIES: Readonly<Record<string, ReplicaIdentity>> = { d: 'default', n: 'nothing', f: 'full', i: 'index' }

function readTruncate(reader: ByteReader): PgoutputMessage {
  const count = reader.uint32()
  reader.skip(1) // flags
  const relationOids: number[] = []
  for (let index = 0; index < count && !reader.overrun; index++) relationOids.push(reader.uint32())
  return { kind: 'truncate', relationOids }
}

function fault(code: PgoutputFault['code'], detail: string): PgoutputFault {
  return { ok: false, code, detail }
}
