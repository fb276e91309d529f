/** Reads the slot as the server does, and writes every row as JSON. */
import { openChangeSource, recordWriter, type RecordWriter, type Table } from '@tidewire/postgres'
import type { DecodeJob, DecodeMessage } from './messages.ts'

process.once('disconnect', () => process.exit())
process.once('message', (job: DecodeJob) => {
  const writers = new WeakMap<Table, RecordWriter>()
  const began = performance.now()
  let rows = 0
  const source = openChangeSource({
    connection: job.url,
    slot: job.slot,
    publications: [{ name: job.publication }],
    handlers: {
      onChanges: (changes) => {
        for (const { table, newTuple } of changes) {
          if (newTuple === null || rows >= job.rows) continue
          let write = writers.get(table)
          if (write === undefined) writers.set(table, (write = recordWriter(table.columns)))
          if (write(newTuple).length < 100) throw new Error('a row came out too short')
          if (++rows === job.rows) report()
        }
      },
    },
  })

  function report(): void {
    const { user, system } = process.cpuUsage()
    const message: DecodeMessage = {
      kind: 'decoded',
      rows,
      elapsedMs: performance.now() - began,
      cpuMs: (user + system) / 1000 - startCpuMs,
    }
    void source.close().then(() => process.send?.(message))
  }
})

const { user, system } = process.cpuUsage()
const startCpuMs = (user + system) / 1000
