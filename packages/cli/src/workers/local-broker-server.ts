import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BrokerFrameReader, type BrokerFrame } from './broker-frames.ts'
import { JoinedWrites } from './joined-writes.ts'

/** Bytes that may wait for a worker that does not read. Beyond it the worker is cut off, and reports a gap when it is back. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024

interface Subscriber {
  readonly socket: Socket
  readonly writes: JoinedWrites
  readonly subjects: Set<string>
}

/** Passes messages between the workers of one machine, by subject, over a local socket in a folder that only this user can open. */
export class LocalBrokerServer {
  readonly path: string
  readonly #folder: string | null
  readonly #server: Server
  readonly #subscribers = new Map<string, Set<Subscriber>>()
  readonly #open = new Set<Subscriber>()

  private constructor(path: string, folder: string | null) {
    this.path = path
    this.#folder = folder
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
  }

  static async start(): Promise<LocalBrokerServer> {
    const folder = mkdtempSync(join(tmpdir(), 'tidewire-'))
    chmodSync(folder, 0o700)
    // Windows has pipes in a namespace of their own, and no socket files.
    const server =
      process.platform === 'win32'
        ? new LocalBrokerServer(`\\\\.\\pipe\\${folder.replaceAll(/[^\w-]/g, '_')}`, folder)
        : new LocalBrokerServer(join(folder, 'workers.sock'), folder)
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject)
      server.#server.listen(server.path, resolve)
    })
    return server
  }

  async close(): Promise<void> {
    for (const { socket } of this.#open) socket.destroy()
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true })
  }

  #accept(socket: Socket): void {
    const subscriber: Subscriber = { socket, writes: new JoinedWrites(socket), subjects: new Set() }
    const reader = new BrokerFrameReader()
    this.#open.add(subscriber)
    socket.on('data', (chunk) => {
      const frames = reader.read(chunk)
      if (frames === null) return void socket.destroy()
      for (const frame of frames) this.#take(subscriber, frame)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#open.delete(subscriber)
      for (const subject of subscriber.subjects) this.#unsubscribe(subscriber, subject)
    })
  }

  #take(from: Subscriber, frame: BrokerFrame): void {
    switch (frame.kind) {
      case 'subscribe': {
        from.subjects.add(frame.subject)
        const present = this.#subscribers.get(frame.subject)
        if (present === undefined) this.#subscribers.set(frame.subject, new Set([from]))
        else present.add(from)
        return
      }
      case 'unsubscribe':
        from.subjects.delete(frame.subject)
        return this.#unsubscribe(from, frame.subject)
      case 'message':
        for (const subscriber of this.#subscribers.get(frame.subject) ?? []) if (subscriber !== from) send(subscriber, frame.whole)
        return
      case 'confirm':
        return send(from, frame.whole)
    }
  }

  #unsubscribe(subscriber: Subscriber, subject: string): void {
    const present = this.#subscribers.get(subject)
    present?.delete(subscriber)
    if (present?.size === 0) this.#subscribers.delete(subject)
  }
}

function send({ socket, writes }: Subscriber, frame: Buffer): void {
  if (writes.pendingBytes > MAX_PENDING_BYTES) socket.destroy()
  else writes.write(frame)
}
