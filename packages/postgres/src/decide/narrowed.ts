import { errorText, isTimeout } from '../catalog/database-fault.ts'
import { concernsAll, StalePolicyVersion } from './ask-again.ts'
import type { DecisionFault } from './decision.ts'
import type { RowQuestion } from './row-questions.ts'

/** A question is divided into about this many parts. After that, a part that fails counts as faulty as a whole. */
const MAX_PARTS = 64

/** SQLSTATE classes of faults that every part would run into: the table, its schema or a privilege is gone. */
const WHOLE_TABLE = /^(42|3F)/

/**
 * Asks; when that fails, asks in halves until the row and the identity that it fails for stand alone. These are refused, with a
 * fault; the others are answered. Rejects with what concerns no part of the question: a stale table, transactions that are not
 * visible yet, a database that cannot be reached.
 */
export async function narrowed(
  question: RowQuestion,
  { mayBeStale, faults }: { readonly mayBeStale: (oid: number) => boolean; readonly faults: DecisionFault[] },
  ask: (part: RowQuestion) => Promise<void>,
): Promise<void> {
  let parts = 0
  const attempt = async (part: RowQuestion): Promise<void> => {
    try {
      await ask(part)
    } catch (error) {
      if (concernsAll(error)) throw error
      // The isolated path finds out which identity is slow.
      if (isTimeout(error))
        return void faults.push({ kind: 'policy', message: errorText(error), timedOut: true, deliveries: part.deliveries })
      const { code } = error as { readonly code?: unknown }
      const isWholeTable = typeof code === 'string' && WHOLE_TABLE.test(code)
      // The table may have changed while it was asked about.
      if (isWholeTable && mayBeStale(part.table.oid)) throw new StalePolicyVersion(part.table.oid)
      const halves = parts < MAX_PARTS && !isWholeTable ? part.halves() : []
      parts += halves.length
      if (halves.length === 0) faults.push({ kind: 'row', message: errorText(error), timedOut: false, deliveries: part.deliveries })
      for (const half of halves) await attempt(half)
    }
  }
  await attempt(question)
}
