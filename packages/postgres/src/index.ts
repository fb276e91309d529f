export { startEmbeddedPostgres, type EmbeddedPostgresOptions } from './io/embedded/embedded-postgres.ts'
export type { EmbeddedPostgres } from './io/embedded/running-server.ts'

export { policyAuthorizer, type PolicyAuthorizerOptions } from './io/sessions/policy-authorizer.ts'
export { databasePool, type DatabasePool, type DatabasePoolOptions } from './io/sessions/session-pool.ts'
export { makeConvenient, migrate, type MigrationResult } from './io/migrate.ts'
export { databaseMessageStore } from './messages/message-store.ts'
export { migrations } from './migrations/migrations.ts'

export { openChangeSource } from './io/replication/open-change-source.ts'
export type { OpenChangeSourceOptions } from './io/replication/replication-target.ts'
export type {
  ChangeSource,
  ChangeSourceHandlers,
  ChangeSourceStatus,
  ChangeSourceTuning,
  NewEpoch,
} from './replication/source/change-source-api.ts'
export type { TableGap } from './replication/published-relations.ts'
export type { EpochReason } from './replication/replication-port.ts'
export type { ReplicationFault } from './replication/replication-fault.ts'
export type { RowChange, Transaction } from './replication/transaction-assembler.ts'
export { isMessageTable, type Column, type Table } from './replication/table.ts'

export { formatLsn, type Lsn } from './replication/lsn.ts'
export { compareLogPositions, parsePosition, type LogPosition, type Position } from './replication/position.ts'

export type { ValueType } from './replication/pgoutput/column-value.ts'
export type { OldTuple, TimestampUs } from './replication/pgoutput/message.ts'
export type { Tuple } from './replication/pgoutput/tuple.ts'
export { recordWriter, type RecordColumn, type RecordSources, type RecordWriter } from './deliver/record-writer.ts'

export type { PublicationSpec } from './io/replication/publication.ts'
export { dropSlot, listSlots, type Slot, type SlotDrop, type SlotRole } from './io/replication/slot.ts'
export { oldestTransaction, transactionText, type OldestTransaction } from './io/replication/oldest-transaction.ts'
export { isUnavailable } from './replication/replication-fault.ts'
export type { Queryable } from './catalog/queryable.ts'
export { storedMessage } from './messages/stored-message.ts'
export { openPostgresFeed, type PostgresFeed, type PostgresFeedOptions } from './io/feed/postgres-feed.ts'
