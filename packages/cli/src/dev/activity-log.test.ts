import { beforeEach, describe, expect, test } from 'vitest'
import { ActivityLog } from './activity-log.ts'

let lines: string[]
let pending: { run: () => void; afterMs: number }[]
let log: ActivityLog

beforeEach(() => {
  lines = []
  pending = []
  log = new ActivityLog({
    write: (line) => lines.push(line),
    setTimer(run, afterMs) {
      pending.push({ run, afterMs })
      return { cancel: () => {} }
    },
  })
})

/** Lets the one window that may be open end. */
function endWindow(): void {
  expect(pending).toHaveLength(1)
  pending.shift()!.run()
}

describe('events', () => {
  test('have a line each', () => {
    log.connected('1')
    log.joined('1', 'realtime:room:1')
    log.left('1', 'realtime:room:1')
    log.decision({ kind: 'join-refused', code: 'private-only', detail: 'no policy', connection: '1', topic: 'realtime:room:1' })
    log.decision({ kind: 'connection-closed', code: 'close-1012', detail: '', connection: '1' })
    log.disconnected('1', 1000)
    expect(lines).toEqual([
      'connect    #1 (1 open)',
      'join       #1 room:1',
      'leave      #1 room:1',
      'refused    #1 room:1 no policy (join-refused: private-only)',
      'closed     #1 (connection-closed: close-1012)',
      'disconnect #1 with 1000 (0 open)',
    ])
  })

  test('beyond twenty in a second are counted by kind', () => {
    for (let i = 0; i < 30; i++) log.connected(String(i))
    for (let i = 0; i < 5; i++) log.joined(String(i), 'realtime:a')
    expect(lines).toHaveLength(20)
    endWindow()
    expect(lines.slice(20)).toEqual(['…          and 10 × connect, 5 × join'])
    endWindow()
    expect(pending).toEqual([])
    log.connected('x')
    expect(lines.at(-1)).toBe('connect    #x (31 open)')
  })
})

describe('messages', () => {
  test('are counted by topic, soon after silence and once a second from then on', () => {
    log.broadcast('realtime:room:1', 3, 1_200)
    log.broadcast('realtime:room:1', 3, 1_200)
    log.broadcast('realtime:room:2', 1, 5)
    expect(lines).toEqual([])
    expect(pending[0]?.afterMs).toBe(100)
    endWindow()
    expect(lines).toEqual(['sent       room:1 2 messages, 6 delivered, 2.4 kB', 'sent       room:2 1 message, 1 delivered, 5 B'])
    log.broadcast('realtime:room:2', 1, 2_500_000)
    expect(pending).toMatchObject([{ afterMs: 1_000 }])
    endWindow()
    expect(lines.at(-1)).toBe('sent       room:2 1 message, 1 delivered, 2.5 MB')
    endWindow()
    expect(pending).toEqual([])
  })

  test('of many topics have six lines, the busiest first, and no more than bounded memory', () => {
    for (let i = 0; i < 1_000; i++) for (let j = 0; j <= (i === 7 ? 3 : 0); j++) log.broadcast(`realtime:t${i}`, 2, 10)
    endWindow()
    expect(lines).toHaveLength(6)
    expect(lines[0]).toBe('sent       t7 4 messages, 8 delivered, 40 B')
    expect(lines[5]).toBe('sent       many more topics 995 messages, 1990 delivered, 9.9 kB')
  })

  test('of some more topics are summed', () => {
    for (let i = 0; i < 8; i++) log.broadcast(`realtime:t${i}`, 1, 10)
    endWindow()
    expect(lines.at(-1)).toBe('sent       3 more topics 3 messages, 3 delivered, 30 B')
  })
})

test('names from strangers cannot command the terminal', () => {
  log.joined('1', 'realtime:\u001b[2J\n')
  log.decision({ kind: 'frame-refused', code: 'unauthorized', detail: '\u001b]0;title\u0007' })
  // oxlint-disable-next-line no-control-regex
  expect(lines.join('')).not.toMatch(/[\u0000-\u001f]/)
})
