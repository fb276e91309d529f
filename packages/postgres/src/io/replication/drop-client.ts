import type pg from 'pg'

/** Ends a session without waiting for it, whatever state it is in. */
export function dropClient(client: pg.Client): void {
  void client.end().catch(() => {})
  ;(client as unknown as { readonly connection: { readonly stream: { destroy(): void } } }).connection.stream.destroy()
}
