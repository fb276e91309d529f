export { startEmbeddedPostgres, type EmbeddedPostgresOptions } from './io/embedded/embedded-postgres.ts'
export type { EmbeddedPostgres } from './io/embedded/running-server.ts'

export { policyAuthorizer, type PolicyAuthorizerOptions } from './io/sessions/policy-authorizer.ts'
export { databasePool, type DatabasePool, type DatabasePoolOptions } from './io/sessions/database-pool.ts'
export { makeConvenient, migrate, type MigrationResult } from './io/migrate.ts'
export { databaseMessageStore } from './messages/message-store.ts'
export { migrations } from './migrations/migrations.ts'

export { openChangeSource, type OpenChangeSourceOptions } from './io/replication/open-change-source.ts'
export type { ChangeSourceTuning } from './replication/source/change-source-options.ts'
export type { ChangeSource, ChangeSourceHandlers, ChangeSourceStatus, NewEpoch } from './replication/source/change-source-api.ts'
export type { TableGap } from './replication/published-relations.ts'
export type { EpochReason } from './replication/replication-port.ts'
export type { ReplicationFault } from './replication/replication-fault.ts'
export type { RowChange, Transaction } from './replication/transaction-assembler.ts'
export { isMessageTable, type Column, type Table } from './replication/table.ts'

export { formatLsn, laterLsn, MAX_LSN, parseLsn, type Lsn } from './replication/lsn.ts'
export {
  compareLogPositions,
  formatPosition,
  parsePosition,
  type ParsedPosition,
  type LogPosition,
  type Position,
} from './replication/position.ts'

export { columnWriter, keyOrder, type ValueType, type ValueWriter } from './replication/pgoutput/column-value.ts'
export type { OldTuple, ReplicaIdentity, TimestampUs } from './replication/pgoutput/message.ts'
export { Tuple, type CellKind } from './replication/pgoutput/tuple.ts'
export { recordWriter, type RecordColumn, type RecordSources, type RecordWriter } from './deliver/record-writer.ts'

export { ensurePublications, readPublications, type Publication, type PublicationSpec } from './io/replication/publication.ts'
export { dropSlot, isSlotBase, listSlots, type Slot, type SlotDrop, type SlotRole } from './io/replication/slot.ts'
export { oldestTransaction, transactionText, type OldestTransaction } from './io/replication/oldest-transaction.ts'
export { isUnavailable } from './replication/replication-fault.ts'
export type { Queryable } from './catalog/queryable.ts'
export { storedMessage } from './messages/stored-message.ts'
export { openPostgresFeed, type PostgresFeed, type PostgresFeedOptions } from './io/feed/postgres-feed.ts'
