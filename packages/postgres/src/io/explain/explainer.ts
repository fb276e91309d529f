import type { WhyStep } from '@tidewire/protocol'
import type { Authorizer, Explainer } from '@tidewire/server'
import { databaseReason } from '../../catalog/database-fault.ts'
import { tablesOf } from '../../subscribe/request/change-entry.ts'
import { explainChange, type ExplainChangeContext } from './explain-change.ts'
import { explainTable } from './explain-table.ts'
import { explainTopic } from './explain-topic.ts'

/**
 * Explains a decision: reads the catalog, and asks as the identity in question. Sessions use a login that is not a superuser and
 * inherits nothing, in transactions that are rolled back. The feed's and the authorizer's own code decides.
 */
export function postgresExplainer(context: ExplainChangeContext, authorizer: Authorizer): Explainer {
  return {
    topic: (question) => answered('policy', () => explainTopic(context, authorizer, question)),
    change: (question) => answered('row', () => explainChange(context, question)),
    table: (schema, table) => explainTable(context.sessions, schema, table),
    entriesNaming: async (entries, { schema, table }) => {
      const published = await context.database.publishedTables().catch(() => [])
      // A table that is not published counts, too: that it is not is said by another step.
      const tables = [...published, { schema, name: table }]
      return entries.filter((entry) => tablesOf(entry, tables).some((each) => each.schema === schema && each.name === table))
    },
  }
}

async function answered(check: WhyStep['check'], explain: () => Promise<readonly WhyStep[]>): Promise<readonly WhyStep[]> {
  try {
    return await explain()
  } catch (error) {
    return [{ check, outcome: 'unknown', text: `The database gave no answer: ${databaseReason(error)}` }]
  }
}
