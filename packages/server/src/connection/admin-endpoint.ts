import type { ClientFrame, Version } from '@tidewire/protocol'
import type { ConnectionRates } from '../limits/connection-rates.ts'

/** A socket as the admin channel sees it. */
export interface AdminPeer {
  readonly id: string
  readonly version: Version
  /** The token of the upgrade. */
  readonly token: string
  /** The socket was opened by a page of another origin. */
  readonly foreignOrigin: boolean
  readonly backlogBytes: number
  readonly rates: ConnectionRates
  /** Closes the socket for too many joins. */
  closeForJoins(): void
  write(frames: Buffer, messages: number): void
}

/** Where frames of the admin topic go. */
export interface AdminEndpoint {
  receive(frame: ClientFrame, peer: AdminPeer): void
  closed(peer: AdminPeer): void
}
