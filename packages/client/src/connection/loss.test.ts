import { expect, test } from 'vitest'
import { lossError } from './loss.ts'

test('what the socket said is in the text and in the cause', () => {
  const loss = { code: 1012, reason: 'restarting', wasClean: true }
  expect(lossError(loss)).toMatchObject({
    code: 'connection-lost',
    message: 'socket closed: 1012 (restarting)',
    retryable: true,
    cause: loss,
  })
  expect(lossError({ ...loss, reason: '' }).message).toBe('socket closed: 1012')
})

test('where it said nothing, the reason is ours', () => {
  const error = lossError({ reason: 'heartbeat timeout', wasClean: false })
  expect(error).toMatchObject({ code: 'connection-lost', message: 'heartbeat timeout', retryable: true })
  expect(error.cause).toBeUndefined()
})

test('what would end the same way is not to be tried again', () => {
  expect(lossError({ code: 1006, reason: '', wasClean: false, fault: 'unauthorized' })).toMatchObject({
    code: 'unauthorized',
    retryable: false,
  })
})
