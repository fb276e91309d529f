/** The publish-subscribe server below a relay. `io/` implements it on NATS; tests have one in memory. */
export interface Broker {
  /** The broker's address for log lines; holds no secret. */
  readonly place: string
  /** Rejects with an error whose message is a sentence without secrets. */
  connect(events: BrokerEvents): Promise<BrokerSession>
}

/** The events of a session until it ends. */
export interface BrokerEvents {
  /** The session is over; nothing comes from it any more. Not called after `close`. */
  closed(detail: string): void
  /** The broker refused something. `denied`: this user lacks a permission, so the session is of no use. */
  refused(detail: string, denied: boolean): void
}

/** One connection, in order: messages arrive as they were published, and a confirmation comes after all of them that were sent before it. */
export interface BrokerSession {
  /** Changes when the broker says so. */
  readonly maxPayloadBytes: number
  /** Does not copy: the bytes must not be changed afterwards. Never delivered back to this session. `false`: over, or too large. Never throws. */
  publish(subject: string, bytes: Uint8Array): boolean
  /** Returns what ends it. `received` must not throw. */
  subscribe(subject: string, received: (bytes: Uint8Array) => void): () => void
  /** Settles once the broker has taken all that was sent before, and has handed over all that it had; rejects if the session ends. */
  confirm(): Promise<void>
  /** Sends pending messages, then closes; does not wait long for a silent broker. */
  close(): Promise<void>
}
