import { expect, test } from 'vitest'
import { isSameStatus, statusOf } from './change-source-status.ts'
import type { ReplicationFault } from '../replication-fault.ts'
import { openReplication } from './replication-state.ts'

const fault: ReplicationFault = { kind: 'unreachable', message: 'the server is gone' }
const { progress } = openReplication().state

test('a status says what the state is, and no more', () => {
  expect(statusOf(openReplication().state, 'slot')).toEqual({ kind: 'connecting' })
  expect(statusOf({ kind: 'waiting', progress, attempt: 3, paused: false, fault }, 'slot')).toEqual({ kind: 'waiting', fault })
  expect(statusOf({ kind: 'closed', progress }, 'slot')).toEqual({ kind: 'closed' })
})

test('another attempt is no news; another fault is', () => {
  const waiting = (attempt: number, why: ReplicationFault) =>
    statusOf({ kind: 'waiting', progress, attempt, paused: false, fault: why }, '')
  expect(isSameStatus(waiting(1, fault), waiting(2, fault))).toBe(true)
  expect(isSameStatus(waiting(1, fault), waiting(2, { ...fault, message: 'no such host' }))).toBe(false)
  expect(isSameStatus(waiting(1, fault), { kind: 'connecting' })).toBe(false)
})
