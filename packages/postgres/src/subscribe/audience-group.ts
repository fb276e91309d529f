import { signatureOf, type Audience } from './audience.ts'

/** Lower bound of a group's estimated share of deliveries; it caps the checks of a batch. */
const MIN_SHARE = 1 / 26

/**
 * Audiences of one table whose event and filters are the same. They want the same rows, and in a batch share one list of them:
 * later steps recognise a shared list by its identity, and so prepare it once. None of them may copy or change it.
 */
export class AudienceGroup {
  /** One of them: what it wants, all want. */
  readonly like: Audience
  readonly audiences: Set<Audience> = new Set()
  /** How many subscriptions they have in all. Counted as these come and go: every batch asks. */
  subscriptions = 0
  /** The part of the audiences that sees a change, as far as is known: from 0 to 1. */
  share = 1

  constructor(like: Audience) {
    this.like = like
  }

  /** Raises the share at once and lowers it slowly, so that few batches make more deliveries than expected. */
  noteShare(granted: number, pairs: number): void {
    if (pairs > 0) this.share = Math.max(granted / pairs, this.share / 2, MIN_SHARE)
  }
}

/** Equal for audiences of a table that want the same rows. */
export function groupKey({ event, authorizesDeletes, fault, owner, filters }: Audience): string {
  return `${event} ${authorizesDeletes} ${fault} ${owner === null ? '' : `${owner.column} ${owner.value}`} ${signatureOf(filters)}`
}
