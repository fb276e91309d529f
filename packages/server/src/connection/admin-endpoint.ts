import type { ClientFrame, Version } from '@tidewire/protocol'

/** A socket as the admin channel sees it. */
export interface AdminPeer {
  readonly id: string
  readonly version: Version
  /** The token of the upgrade. */
  readonly token: string
  /** It was opened by a page of another origin. */
  readonly foreignOrigin: boolean
  readonly backlogBytes: number
  /** Whether one more join, or another key, is within the limit of joins. */
  allowJoin(): boolean
  /** Ends the socket after joins beyond the limit. */
  closeForJoins(): void
  write(frames: Buffer, messages: number): void
}

/** Where frames of the admin topic go. */
export interface AdminEndpoint {
  receive(frame: ClientFrame, peer: AdminPeer): void
  closed(peer: AdminPeer): void
}
