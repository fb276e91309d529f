import type { WhyStep } from '@tidewire/protocol'
import type { Authorizer, Explainer } from '@tidewire/server'
import { databaseReason } from '../../catalog/database-fault.ts'
import type { FeedDatabase } from '../../decide/feed-database.ts'
import { explainChange } from './explain-change.ts'
import { explainTable } from './explain-table.ts'
import { explainTopic } from './explain-topic.ts'
import type { SessionsWhenOpen } from '../sessions/feed-sessions.ts'

export interface ExplainerOptions {
  readonly sessions: SessionsWhenOpen
  readonly database: FeedDatabase
  readonly publication: string
}

/**
 * Says why, by the catalog, and by asking as the identity in question: with the login that is no superuser and inherits
 * nothing, in transactions that write nothing and are rolled back. The probe of a private topic is the authorizer's own.
 */
export function postgresExplainer(options: ExplainerOptions, authorizer: Authorizer): Explainer {
  return {
    topic: (question) => answered('policy', () => explainTopic(options.sessions, authorizer, question)),
    change: (question) => answered('row', () => explainChange(options, question)),
    table: (schema, table) => explainTable(options.sessions, schema, table),
  }
}

async function answered(check: WhyStep['check'], explain: () => Promise<readonly WhyStep[]>): Promise<readonly WhyStep[]> {
  try {
    return await explain()
  } catch (error) {
    return [{ check, outcome: 'unknown', text: `The database gave no answer: ${databaseReason(error)}` }]
  }
}
