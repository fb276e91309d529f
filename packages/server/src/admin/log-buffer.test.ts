import { describe, expect, test } from 'vitest'
import type { SentMessage } from '../ports.ts'
import { LogBuffer, MAX_ROWS } from './log-buffer.ts'
import { MAX_PAYLOAD_BYTES, rowContent, type LogEvent } from './log-row.ts'

function message(payload: string | Uint8Array, others: Partial<SentMessage> = {}): Extract<LogEvent, { kind: 'message' }> {
  const bytes = Buffer.from(payload as string)
  const sent = { kind: 'broadcast', private: false, connection: 'c', event: null, encoding: 'json', payload: bytes, ...others } as const
  return { kind: 'message', topic: 'realtime:room', receivers: 2, bytes: bytes.length, message: sent }
}

const envelope = (event: string, payload: unknown): string => JSON.stringify({ type: 'broadcast', event, payload })
const join = (connection: string): LogEvent => ({ kind: 'join', connection, topic: 'realtime:room', private: false })

function offered(events: readonly LogEvent[], log: LogBuffer = new LogBuffer()): LogBuffer {
  let id = 0
  for (const logEvent of events) log.offer(logEvent, 7, () => ++id)
  return log
}

describe('a row', () => {
  test('names the event, wherever it stands', () => {
    expect(rowContent(message(envelope('cursor', 1)), false)).toMatchObject({
      event: 'cursor',
      topic: 'room',
      receivers: 2,
      connection: 'c',
    })
    expect(rowContent(message('{"payload":{"event":"inner"},"event":"outer"}'), false).event).toBe('outer')
    expect(rowContent(message(envelope('big "one"', 'x'.repeat(10_000))), false).event).toBe('big "one"')
    expect(rowContent(message('[1]', { event: 'kind3' }), false).event).toBe('kind3')
    expect(rowContent(message('{"payload":1}'), false)).not.toHaveProperty('event')
    expect(rowContent(message('{}', { kind: 'track', event: 'presence_diff' }), false)).toMatchObject({ kind: 'presence', event: 'track' })
  })

  test('holds a payload only when asked, cut between characters, and says how long it was', () => {
    expect(rowContent(message('{"a":"ü"}'), false)).not.toHaveProperty('payload')
    expect(rowContent(message('{"a":"ü"}'), true)).toMatchObject({ payload: '{"a":"ü"}' })
    const long = JSON.stringify({ a: 'ü'.repeat(3_000_000 / 2) })
    const { payload, truncated } = rowContent(message(long), true)
    expect(truncated).toBe(Buffer.byteLength(long))
    expect(long.startsWith(payload!)).toBe(true)
    expect(Buffer.byteLength(payload!)).toBeGreaterThan(MAX_PAYLOAD_BYTES - 4)
    expect(rowContent(message(Buffer.from([0xca, 0xfe]), { encoding: 'binary', event: 'b' }), true)).toMatchObject({ payload: '"cafe"' })
    expect(rowContent(message(Buffer.alloc(1_000), { encoding: 'binary', event: 'b' }), true)).toMatchObject({ truncated: 1_000 })
  })

  test('of hostile names is bounded', () => {
    const { topic, event } = rowContent({ ...message(envelope('e'.repeat(3_000), 1)), topic: `realtime:${'t'.repeat(100_000)}` }, true)
    expect(topic!.length + event!.length).toBeLessThan(700)
  })
})

describe('a buffer', () => {
  test('takes so many rows, counts the rest, and starts over after each take', () => {
    const log = offered(Array.from({ length: 1_000 }, () => message('{}')))
    expect(log.takesTraffic).toBe(false)
    expect(log.take()).toMatchObject({ rows: { length: MAX_ROWS }, skipped: 1_000 - MAX_ROWS })
    expect(log.take()).toBeNull()
    expect(offered([message('{}')], log).take()).toMatchObject({ rows: [{ id: 1, at: 7 }], skipped: 0 })
  })

  test('a burst of messages does not crowd out connections and refusals', () => {
    const log = offered([...Array.from({ length: 1_000 }, () => message('{}')), join('late')])
    expect(log.take()!.rows.at(-1)).toMatchObject({ kind: 'join', connection: 'late' })
  })

  test('with a match holds only what has it, in whatever case; what was not looked at counts as left out', () => {
    const log = new LogBuffer()
    log.setWatch({ payloads: true, match: 'CURSOR' })
    offered([message(envelope('cursor-1', 1)), message(envelope('other', 'cursor')), join('x')], log)
    expect(log.take()).toMatchObject({ rows: [{ event: 'cursor-1', payload: envelope('cursor-1', 1) }], skipped: 0 })
    offered(
      Array.from({ length: 10_000 }, () => message(envelope('other', 1))),
      log,
    )
    const flooded = log.take()!
    expect(flooded.rows).toEqual([])
    expect(flooded.skipped).toBeGreaterThan(9_000)
  })
})
