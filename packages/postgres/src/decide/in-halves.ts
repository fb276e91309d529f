import { halvesOf } from '../catalog/halves.ts'
import { concernsAll } from './ask-again.ts'

/** Asks about all; where that fails, about halves, down to the ones that it fails for. Rejects with what {@link concernsAll}. */
export async function inHalves<T>(
  all: readonly T[],
  ask: (part: readonly T[]) => Promise<void>,
  failed: (one: T, error: unknown) => void,
): Promise<void> {
  if (all.length === 0) return
  try {
    return await ask(all)
  } catch (error) {
    if (concernsAll(error)) throw error
    if (all.length === 1) return failed(all[0]!, error)
  }
  for (const half of halvesOf(all)) await inHalves(half, ask, failed)
}
