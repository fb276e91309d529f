/** Messages of the plugin as bytes. */

const text = (value: string): Buffer => Buffer.from(`${value}\0`)
const uint = (size: 1 | 2 | 4, value: number): Buffer => {
  const buffer = Buffer.alloc(size)
  buffer.writeUIntBE(value, 0, size)
  return buffer
}
const lsn = (value: bigint): Buffer => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(value)
  return buffer
}

export function beginBytes(commitLsn: bigint): Buffer {
  return Buffer.concat([Buffer.from('B'), lsn(commitLsn), lsn(0n), uint(4, 7)])
}

export function commitBytes(commitLsn: bigint): Buffer {
  return Buffer.concat([Buffer.from('C\0'), lsn(commitLsn), lsn(commitLsn + 5n), lsn(0n)])
}

export function relationBytes(oid = 1): Buffer {
  return Buffer.concat([
    Buffer.from('R'),
    uint(4, oid),
    text('public'),
    text(`t${oid}`),
    Buffer.from('d'),
    uint(2, 1),
    uint(1, 1),
    text('id'),
    uint(4, 25),
    uint(4, 0),
  ])
}

export function insertBytes(value: string, oid = 1): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from('I'), uint(4, oid), Buffer.from('N'), uint(2, 1), Buffer.from('t'), uint(4, bytes.length), bytes])
}
