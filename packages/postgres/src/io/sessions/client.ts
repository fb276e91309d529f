import type { Socket } from 'node:net'
import pg from 'pg'

/** A session outside of a pool. It may break between two queries; without a listener that would end the process. */
export function newClient(config: pg.ClientConfig): pg.Client {
  const client = new pg.Client(config)
  client.on('error', () => {})
  return client
}

/** Ends a session without waiting for it, whatever state it is in. */
export function dropClient(client: pg.Client): void {
  void client.end().catch(() => {})
  socketOf(client).destroy()
}

/** `pg` has it and its types do not. */
export function socketOf(client: pg.Client): Socket {
  return (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream
}
