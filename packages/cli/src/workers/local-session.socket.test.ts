import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { localBroker } from './local-broker.ts'

test('a session ends in time where the primary process does not answer', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-broker-'))
  const path = join(folder, 'socket')
  // Takes the end of the other side for no reason to end, as a frozen process does.
  const primary = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).resume())
  await new Promise<void>((resolve) => void primary.listen(path, resolve))
  const closed: string[] = []
  const session = await localBroker({ path }).connect({ closed: (detail) => closed.push(detail), refused: () => {} })
  expect(session.publish('a', new Uint8Array(1))).toBe(true)
  await session.close()
  expect(session.publish('a', new Uint8Array(1))).toBe(false)
  expect(closed).toEqual([])
  primary.close()
  rmSync(folder, { recursive: true, force: true })
})
