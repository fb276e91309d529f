/** Reads the slot's bytes off the socket, counts the rows and looks at nothing else: what the server can send at most. */
import type { Socket } from 'node:net'
import pg from 'pg'
import type { DecodeJob, DecodeMessage } from './messages.ts'

/** Type and length; of CopyData: kind, three positions; then the message of the slot. */
const HEADER_BYTES = 5
const SLOT_MESSAGE_AT = HEADER_BYTES + 25
const COPY_DATA = 0x64 // d
const ERROR = 0x45 // E
const WAL_DATA = 0x77 // w
const INSERT = 0x49 // I

process.once('disconnect', () => process.exit())
process.once('message', (job: DecodeJob) => void read(job))

const { user, system } = process.cpuUsage()
const startCpuMs = (user + system) / 1000

async function read(job: DecodeJob): Promise<void> {
  const began = performance.now()
  const client = new pg.Client({ connectionString: job.url, replication: 'database' } as pg.ClientConfig)
  client.on('error', () => {})
  await client.connect()
  const socket = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream
  const count = rowCounter()
  let rows = 0
  socket.removeAllListeners('data')
  socket.on('data', (chunk: Buffer) => {
    if (rows >= job.rows) return
    rows += count(chunk)
    if (rows < job.rows) return
    const used = process.cpuUsage()
    const message: DecodeMessage = {
      kind: 'decoded',
      rows,
      elapsedMs: performance.now() - began,
      cpuMs: (used.user + used.system) / 1000 - startCpuMs,
    }
    // The slot is free when the connection is gone, and only then is it another reader's turn.
    socket.once('close', () => process.send?.(message))
    socket.destroy()
  })
  const command = `START_REPLICATION SLOT ${job.slot} LOGICAL 0/0 (proto_version '1', publication_names '${job.publication}')\0`
  const head = Buffer.from([0x51, 0, 0, 0, 0])
  head.writeUInt32BE(command.length + 4, 1)
  socket.write(Buffer.concat([head, Buffer.from(command)]))
}

/** Answers the rows in each chunk; a message that spans chunks is counted with the chunk that ends it. */
function rowCounter(): (chunk: Buffer) => number {
  let rest: Buffer | null = null
  return (chunk) => {
    const buffer = rest === null ? chunk : Buffer.concat([rest, chunk])
    let rows = 0
    let at = 0
    while (buffer.length - at >= HEADER_BYTES) {
      const end = at + 1 + buffer.readUInt32BE(at + 1)
      if (end > buffer.length) break
      if (buffer[at] === ERROR) throw new Error(buffer.toString('utf8', at + HEADER_BYTES, end))
      if (buffer[at] === COPY_DATA && buffer[at + HEADER_BYTES] === WAL_DATA && buffer[at + SLOT_MESSAGE_AT] === INSERT) rows++
      at = end
    }
    rest = at === buffer.length ? null : buffer.subarray(at)
    return rows
  }
}
