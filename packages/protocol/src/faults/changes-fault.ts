/**
 * Why row changes do not flow, or not all of them (rule D17): `code` of a `system` message with the extension
 * `postgres_changes`. The list is closed, so a program may switch over it; `docs/errors.md` says what to do about each.
 */
export const CHANGES_FAULTS = [
  'changes-withheld',
  'database-unavailable',
  'deletes-not-filterable',
  'deletes-withheld',
  'filter-not-published',
  'invalid-entry',
  'invalid-filter',
  'invalid-select',
  'missing-table',
  'no-database',
  'no-primary-key',
  'not-allowed',
  'not-published',
  'policy-failed',
] as const
/** One of `CHANGES_FAULTS`. */
export type ChangesFaultCode = (typeof CHANGES_FAULTS)[number]

/** The members that a `system` error about row changes has beside `message`: `hint` names the cause and the remedy, in SQL where SQL is one. */
export interface ChangesFault {
  readonly code: ChangesFaultCode
  readonly hint: string
}
