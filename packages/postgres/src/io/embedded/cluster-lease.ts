import type pg from 'pg'
import { newClient } from '../sessions/client.ts'

/** Any two numbers that nothing else uses: the advisory lock whose holder is the process in charge of an embedded cluster. */
const LEASE_KEYS: readonly [number, number] = [0x7469_6465, 0x7769_7265]

/** `pg` has these two and its types do not. */
type ReferableClient = pg.Client & { ref?(): void; unref?(): void }

export type LeaseAnswer =
  | { readonly kind: 'held'; readonly release: () => Promise<void> }
  /** Nothing answers there (yet). */
  | { readonly kind: 'unreachable'; readonly cause: unknown }
  /** Another living process is in charge. */
  | { readonly kind: 'taken' }
  /** Some server answers, but not the one of this data directory. */
  | { readonly kind: 'stranger' }

/**
 * Asks once for the right to stop a running cluster: a session that holds an advisory lock. A process that is killed loses its
 * session and with it the lock, so that the next one may take the cluster over; one that lives keeps it. `onLost` is called when
 * the session ends without having been released.
 */
export async function takeLease(url: string, dataDir: string, onLost: () => void): Promise<LeaseAnswer> {
  const client: ReferableClient = newClient({
    connectionString: url,
    application_name: 'tidewire',
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
  })
  const release = async (): Promise<void> => {
    client.removeListener('end', onLost)
    client.ref?.()
    await client.end().catch(() => {})
  }
  try {
    await client.connect()
    const { rows } = await client.query<{ directory: string; locked: boolean }>(
      `select current_setting('data_directory') as directory, pg_try_advisory_lock(${LEASE_KEYS.join(', ')}) as locked`,
    )
    const [row] = rows
    if (row?.directory === dataDir && row.locked) {
      client.once('end', onLost)
      client.unref?.()
      return { kind: 'held', release }
    }
    await release()
    return { kind: row?.directory === dataDir ? 'taken' : 'stranger' }
  } catch (cause) {
    await release()
    return { kind: 'unreachable', cause }
  }
}
