/**
 * Reads the feed and writes every change to a file, one line each: `commitLsn seq id`. What is on disk is confirmed, so this process may be killed at any moment.
 */
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
// Not from index.ts, which takes twice as long to load: this process is started again and again.
import { openChangeSource } from '../src/io/replication/open-change-source.ts'
import { compareLogPositions, type LogPosition } from '../src/replication/position.ts'

const [connection, file] = process.argv.slice(2) as [string, string]

/** The last whole line. A half one was never confirmed and comes again. */
function lastPosition(): LogPosition | null {
  if (!existsSync(file)) return null
  const text = readFileSync(file, 'utf8')
  const end = text.lastIndexOf('\n') + 1
  if (end < Buffer.byteLength(text)) truncateSync(file, end)
  const line = text.slice(0, end).trimEnd().split('\n').at(-1)
  if (line === undefined || line === '') return null
  const [commitLsn, seq] = line.split(' ') as [string, string]
  return { commitLsn: BigInt(commitLsn), seq: Number(seq) }
}

const last = lastPosition()
const out = openSync(file, 'a')
let isReported = false

const source = openChangeSource({
  connection,
  publications: [{ name: 'feed' }],
  reportDelayMs: 10,
  handlers: {
    onStatus: (status) => {
      if (status.kind === 'streaming' && !isReported) console.log('streaming')
      isReported ||= status.kind === 'streaming'
    },
    onChanges: (changes) => {
      let lines = ''
      for (const { transaction, seq, newTuple } of changes) {
        const place = { commitLsn: transaction.commitLsn, seq }
        if (last === null || compareLogPositions(place, last) > 0) lines += `${place.commitLsn} ${seq} ${newTuple?.text(0)}\n`
      }
      writeSync(out, lines)
      fdatasyncSync(out)
    },
    onProgress: (lsn) => source.confirm(source.epoch!, lsn),
  },
})

process.on('SIGTERM', () => {
  void source.close().then(() => {
    closeSync(out)
    process.exit(0)
  })
})
