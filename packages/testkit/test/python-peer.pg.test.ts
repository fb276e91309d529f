/** The Python package whose README this project implements: its snippets, as printed, against our server. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pythonPath } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { startDatabaseNode } from './database-node.ts'

const python = pythonPath()
const script = fileURLToPath(new URL('./python/readme.py', import.meta.url))

interface Ran {
  readonly heading: string
  readonly printed: readonly string[]
  readonly heard: readonly unknown[]
  readonly channels: readonly string[]
}

describe.skipIf(python === undefined)('the PyPI package realtime', () => {
  test('every snippet of its README runs and does what it says', { timeout: 90_000 }, async () => {
    const database = await startDatabaseNode()
    const { node } = database
    await database.sql(
      'create table messages (id int primary key); create table users (id int primary key, username text, first_name text)',
    )
    try {
      const { stdout } = await promisify(execFile)(python!, [script, `${node.url.replace('http', 'ws')}/socket`, node.anonKey, 'ok'])
      const lines = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Ran)
      const [creating, overSocket, overHttp, replication, presence, changes, , listing, removeOne, removeAll, end] = lines
      expect(creating).toMatchObject({ heading: 'Creating a Channel', printed: ['Connected!'] })
      for (const sent of [overSocket, overHttp])
        expect(sent).toMatchObject({ heading: 'Broadcast', heard: [{ event: 'some-event', payload: { hello: 'world' } }] })
      expect(replication?.printed).toContain('Replication connection is ready: Replication connection established')
      expect(presence?.printed.join('\n')).toMatch(/New users have joined: .*user_id/)
      expect(presence?.printed.at(-1)).toMatch(/Online users: .*user_id/)
      expect(changes).toMatchObject({ heading: 'Postgres CDC', printed: ['Ready to receive database changes!'] })
      expect(listing).toMatchObject({ heading: 'Get All Channels', channels: [] })
      for (const removed of [removeOne, removeAll]) expect(removed).toMatchObject({ heading: 'Cleanup', channels: [] })
      expect(end).toMatchObject({ 'unused corrections': [] })
    } finally {
      await database.stop()
    }
  })
})
