import { isTimeout } from '../catalog/database-fault.ts'
import { halvesOf } from '../catalog/halves.ts'
import { concernsAll } from './ask-again.ts'

/**
 * Asks about all; where that fails, about halves, down to the ones that it fails for. What takes too long fails for all of them: each
 * half might take as long again. Rejects with what {@link concernsAll}.
 */
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
    if (all.length === 1 || isTimeout(error)) return all.forEach((one) => failed(one, error))
  }
  for (const half of halvesOf(all)) await inHalves(half, ask, failed)
}
