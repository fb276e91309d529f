import type { Lsn } from '../lsn.ts'
import { ByteReader } from './byte-reader.ts'
import { POSTGRES_EPOCH_US } from './message.ts'

/** What travels inside the CopyData messages of a replication stream, from the server. */
export type StreamMessage =
  /** One message of the output plugin; it starts at `payloadAt` of the buffer that was read. */
  | { readonly kind: 'wal-data'; readonly payloadAt: number }
  | { readonly kind: 'keepalive'; readonly end: Lsn; readonly replyRequested: boolean }
  | { readonly kind: 'malformed' }

const WAL_DATA = 0x77 // w
const WAL_DATA_HEADER_BYTES = 25
const KEEPALIVE = 0x6b // k
const KEEPALIVE_BYTES = 18
const STATUS = 0x72 // r

export function readStreamMessage(buffer: Buffer, offset = 0, end: number = buffer.length): StreamMessage {
  const size = end - offset
  if (size >= WAL_DATA_HEADER_BYTES && buffer[offset] === WAL_DATA) return { kind: 'wal-data', payloadAt: offset + WAL_DATA_HEADER_BYTES }
  if (size === KEEPALIVE_BYTES && buffer[offset] === KEEPALIVE)
    return { kind: 'keepalive', end: buffer.readBigUInt64BE(offset + 1), replyRequested: buffer[offset + 17] === 1 }
  return { kind: 'malformed' }
}

/** Reads an ErrorResponse: its SQLSTATE and its sentence. */
export function readErrorResponse(buffer: Buffer, start: number, end: number): Readonly<Record<'code' | 'message', string | undefined>> {
  const reader = new ByteReader(buffer, start, end)
  const fields = new Map<string, string>()
  for (;;) {
    const field = reader.uint8()
    if (field === 0 || reader.overrun) break
    fields.set(String.fromCharCode(field), reader.text())
  }
  return { code: fields.get('C'), message: fields.get('M') }
}

export interface ReplicationStatus {
  /** Everything before this has arrived. */
  readonly received: Lsn
  /** Everything before this need never be sent again: the server may throw it away. */
  readonly flushed: Lsn
  readonly requestReply: boolean
}

/** The CopyData message with which a client reports how far it is. `nowMs` is Unix time. */
export function writeStandbyStatus(status: ReplicationStatus & { readonly nowMs: number }): Buffer {
  const message = Buffer.allocUnsafe(39)
  message[0] = 0x64 // d
  message.writeUInt32BE(38, 1)
  message[5] = STATUS
  message.writeBigUInt64BE(status.received, 6)
  message.writeBigUInt64BE(status.flushed, 14)
  // "Applied" means nothing more than "flushed" here: there is no second copy of the data that lags behind.
  message.writeBigUInt64BE(status.flushed, 22)
  message.writeBigInt64BE(BigInt(Math.trunc(status.nowMs)) * 1_000n - POSTGRES_EPOCH_US, 30)
  message[38] = status.requestReply ? 1 : 0
  return message
}
