import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readStreamMessage, writeStandbyStatus } from './stream-message.ts'

test('WAL data and keepalives are distinguished', () => {
  const data = Buffer.concat([Buffer.from('w'), Buffer.alloc(24), Buffer.from('payload')])
  expect(readStreamMessage(data)).toEqual({ kind: 'wal-data', payloadAt: 25 })
  const keepalive = Buffer.concat([Buffer.from('k'), Buffer.alloc(17)])
  keepalive.writeBigUInt64BE(88n, 1)
  expect(readStreamMessage(keepalive)).toEqual({ kind: 'keepalive', end: 88n, replyRequested: false })
  keepalive[17] = 1
  expect(readStreamMessage(keepalive)).toEqual({ kind: 'keepalive', end: 88n, replyRequested: true })
})

test('anything else is malformed and throws nothing', () => {
  expect(readStreamMessage(Buffer.from('w'))).toEqual({ kind: 'malformed' })
  expect(readStreamMessage(Buffer.from('k123'))).toEqual({ kind: 'malformed' })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const buffer = Buffer.from(bytes)
      const { kind } = readStreamMessage(buffer)
      if (kind !== 'malformed') expect(['w', 'k']).toContain(String.fromCharCode(buffer[0]!))
    }),
  )
})

test('a status says what was received, what is flushed, and when', () => {
  const status = writeStandbyStatus({ received: 10n, flushed: 7n, requestReply: true, nowMs: Date.UTC(2000, 0, 1) + 5 })
  expect(status.subarray(0, 6).toString('latin1')).toBe('d\0\0\0\x26r')
  expect([6, 14, 22].map((at) => status.readBigUInt64BE(at))).toEqual([10n, 7n, 7n])
  expect(status.readBigInt64BE(30)).toBe(5_000n)
  expect(status[38]).toBe(1)
})
