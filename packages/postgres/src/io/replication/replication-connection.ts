import type { Socket } from 'node:net'
import pg from 'pg'
import { formatLsn, type Lsn } from '../../replication/lsn.ts'
import { FrameReader } from '../../replication/pgoutput/frame-reader.ts'
import {
  readErrorResponse,
  readStreamMessage,
  writeStandbyStatus,
  type ReplicationStatus,
} from '../../replication/pgoutput/stream-message.ts'
import { faultOf, type ReplicationFault } from '../../replication/replication-fault.ts'
import type { ReplicationReceiver } from '../../replication/replication-port.ts'
import { dropClient, newClient, socketOf } from '../sessions/client.ts'
import type { Queryable } from '../../catalog/queryable.ts'

/**
 * Settings under which values are written as `to_jsonb` reads them, which keep Postgres from ending the session for being
 * long, and which let it notice soon when we are gone without a word. They are set one by one because options of a connection string would win over ours.
 */
export const SESSION_SQL = `
set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; set bytea_output = 'hex'; set extra_float_digits = 1;
set xmlbinary = 'base64'; set client_encoding = 'UTF8';
set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0; set idle_session_timeout = 0;
set jit = off; set wal_sender_timeout = '60s'; set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3`

/** `pg` knows the option and its types do not. */
type ReplicationConfig = pg.ClientConfig & { readonly replication: 'database' }

/**
 * A connection in replication mode. `pg` does TLS and the login; when the stream starts, its socket is read and written
 * here, for `pg` has no notion of a conversation in which both sides talk.
 */
export class ReplicationConnection implements Queryable {
  readonly #client: pg.Client
  readonly #socket: Socket
  readonly #frames = new FrameReader()
  /** `null` before the start and after the end. */
  #receiver: ReplicationReceiver | null = null
  #paused = false
  #pumping = false

  private constructor(client: pg.Client) {
    this.#client = client
    this.#socket = socketOf(client)
  }

  static async open(config: pg.ClientConfig, applicationName: string): Promise<ReplicationConnection> {
    const client = newClient({ ...config, replication: 'database' } satisfies ReplicationConfig as pg.ClientConfig)
    try {
      await client.connect()
      await client.query(`${SESSION_SQL}; set application_name = ${pg.escapeLiteral(applicationName)}`)
      return new ReplicationConnection(client)
    } catch (error) {
      dropClient(client)
      throw error
    }
  }

  /** Runs a command before the stream is started. Only the simple protocol is spoken here, so there are no parameters. */
  query(text: string): Promise<{ rows: unknown[] }> {
    return this.#client.query(text)
  }

  /** Starts the stream. From now on the receiver gets everything, a refusal included. */
  start(slot: string, publications: readonly string[], from: Lsn, receiver: ReplicationReceiver): void {
    this.#receiver = receiver
    this.#socket.removeAllListeners('data')
    this.#socket.on('data', (chunk: Buffer) => {
      this.#frames.push(chunk)
      this.#pump()
    })
    this.#socket.on('error', (error) => this.fail(faultOf(error)))
    this.#socket.on('end', () => this.fail({ kind: 'unreachable', message: 'the server closed the connection' }))
    this.#socket.on('close', () => this.fail({ kind: 'unreachable', message: 'the connection was closed' }))
    const names = pg.escapeLiteral(publications.map((name) => pg.escapeIdentifier(name)).join(','))
    const command = `START_REPLICATION SLOT ${pg.escapeIdentifier(slot)} LOGICAL ${formatLsn(from)} (proto_version '1', publication_names ${names})`
    this.#socket.write(queryMessage(command))
    if (this.#paused) this.#socket.pause()
    else this.#socket.resume()
  }

  sendStatus(status: ReplicationStatus): void {
    if (this.#socket.writable) this.#socket.write(writeStandbyStatus({ ...status, nowMs: Date.now() }))
  }

  /** Stops handing out messages after the one at hand, and stops reading. May be called from the receiver. */
  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#pump()
    if (!this.#paused) this.#socket.resume()
  }

  /** Ends the conversation and waits until the server has let go of the slot; at most `patienceMs`. */
  async close(patienceMs = 500): Promise<void> {
    this.#receiver = null
    if (this.#socket.destroyed) return
    const closed = new Promise((done) => this.#socket.once('close', done))
    const timer = setTimeout(() => this.#socket.destroy(), patienceMs)
    this.#socket.on('error', () => {})
    // A server that is in the middle of writing takes the goodbye only when what it writes is read.
    this.#socket.removeAllListeners('data')
    this.#socket.resume()
    this.#socket.end(GOODBYE)
    await closed
    clearTimeout(timer)
  }

  destroy(): void {
    this.#receiver = null
    this.#socket.on('error', () => {})
    this.#socket.destroy()
  }

  /** Drops the connection, and the receiver gets the reason, unless the stream is over. */
  fail(fault: ReplicationFault): void {
    const receiver = this.#receiver
    if (receiver === null) return
    this.destroy()
    receiver.failed(fault)
  }

  #pump(): void {
    // The receiver may pause and resume while it is being called.
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (!this.#paused && this.#receiver !== null) {
        const outcome = this.#frames.read((type, buffer, start, end) => this.#onFrame(type, buffer, start, end))
        if (outcome === 'malformed') this.fail({ kind: 'malformed-stream', message: 'the server does not speak the Postgres protocol' })
        if (outcome !== 'stopped') break
      }
    } finally {
      this.#pumping = false
    }
    this.#receiver?.drained()
  }

  #onFrame(type: number, buffer: Buffer, start: number, end: number): boolean {
    switch (type) {
      case COPY_DATA:
        this.#onCopyData(buffer, start, end)
        break
      case ERROR:
        this.fail(faultOf(readErrorResponse(buffer, start, end)))
        break
      case COPY_DONE:
      case COMMAND_COMPLETE:
        this.fail({ kind: 'restarting', message: 'the server ended the stream' })
        break
    }
    return !this.#paused && this.#receiver !== null
  }

  #onCopyData(buffer: Buffer, start: number, end: number): void {
    const message = readStreamMessage(buffer, start, end)
    switch (message.kind) {
      case 'wal-data':
        this.#receiver?.data(buffer, message.payloadAt, end)
        break
      case 'keepalive':
        this.#receiver?.keepalive(message.end, message.replyRequested)
        break
      case 'malformed':
        this.fail({ kind: 'malformed-stream', message: 'the server sent a replication message that is none' })
        break
    }
  }
}

const COPY_DATA = 0x64 // d
const ERROR = 0x45 // E
const COPY_DONE = 0x63 // c
const COMMAND_COMPLETE = 0x43 // C

/** CopyDone, Terminate. */
const GOODBYE = Buffer.from([0x63, 0, 0, 0, 4, 0x58, 0, 0, 0, 4])

function queryMessage(text: string): Buffer {
  const body = Buffer.from(`${text}\0`)
  const head = Buffer.alloc(5)
  head.write('Q', 'latin1')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
