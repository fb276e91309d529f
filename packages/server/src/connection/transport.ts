import type { Version } from '@tidewire/protocol'
import type { Claims } from '../ports.ts'

/** A socket, as far as a connection needs one. */
export interface Transport {
  /** Takes ready WebSocket frames; never throws, also when the socket is gone. */
  write(frames: Buffer): void
  /** Bytes that the system has not taken yet; a write that is under way counts until it is done. */
  backlogBytes(): number
  /** Bytes that the system has taken, those of a write that is under way included; `null`, or absent: not known. */
  takenBytes?(): number | null
  /** Reads nothing more until `resume`; messages that were read before may still come. Absent where reading cannot pause. */
  pause?(): void
  resume?(): void
  /** Starts the closing handshake. */
  close(code: number, reason: string): void
  terminate(): void
  /** The address of the other end, which may be a proxy. */
  address?(): string | null
}

/** A socket whose handshake is done. */
export interface ConnectionDetails {
  readonly id: string
  readonly version: Version
  readonly token: string
  readonly headers: Readonly<Record<string, string>>
  /** The claims of `token`. */
  readonly claims?: Claims
  /** The socket was opened by a page of another origin. */
  readonly foreignOrigin?: boolean
  /** The `User-Agent` of the client. */
  readonly userAgent?: string | null
}
