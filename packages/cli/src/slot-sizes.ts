import type { DatabasePool } from '@tidewire/postgres'
import type { SlotSize } from '@tidewire/server'

/** A scrape waits no longer than this for the database, and then gets the last sizes. */
const PATIENCE_MS = 1_000

/** Bytes of write-ahead log that the slots of Tidewire keep; empty while the database has never answered. Never rejects. */
export function slotSizes(pool: DatabasePool): () => Promise<readonly SlotSize[]> {
  let known: readonly SlotSize[] = []
  let asking: Promise<void> | null = null
  const ask = async (): Promise<void> => {
    try {
      const { listSlots } = await import('@tidewire/postgres')
      const slots = await pool.withSession((session) => listSlots(session, 'tidewire'))
      // A copy has another name at each connection, and each name would be a time series.
      known = slots.map(({ name, role, node, retainedBytes }) => ({ name: role === 'copy' ? 'copy' : name, node, retainedBytes }))
    } catch {
      // Other code reports whether the database answers.
    } finally {
      asking = null
    }
  }
  return async () => {
    let timer: NodeJS.Timeout | undefined
    asking ??= ask()
    await Promise.race([asking, new Promise<void>((resolve) => (timer = setTimeout(resolve, PATIENCE_MS)))])
    clearTimeout(timer)
    return known
  }
}
