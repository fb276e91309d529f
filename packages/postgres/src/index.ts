export { startEmbeddedPostgres, type EmbeddedPostgresOptions } from './io/embedded-postgres.ts'
export type { EmbeddedPostgres } from './io/running-server.ts'

export { policyAuthorizer, type AuthorizerOptions } from './authorizer.ts'
export { databasePool, type DatabasePool, type DatabasePoolOptions } from './io/database-pool.ts'
export { migrate, type MigrationResult } from './io/migrate.ts'
export { databaseMessageStore } from './message-store.ts'
export { migrations } from './migrations.ts'

export { openChangeSource, type OpenChangeSourceOptions } from './io/open-change-source.ts'
export type { ChangeSourceTuning } from './change-source-options.ts'
export type { ChangeBatch, ChangeSource, ChangeSourceHandlers, ChangeSourceStatus, NewEpoch } from './change-source.ts'
export type { EpochReason } from './replication-state.ts'
export type { ReplicationFault } from './replication-fault.ts'
export type { RowChange, Transaction } from './transaction-assembler.ts'
export type { Column, Table } from './table.ts'

export { formatLsn, laterLsn, MAX_LSN, parseLsn, type Lsn } from './lsn.ts'
export { comparePlaces, formatPosition, parsePosition, type ParsedPosition, type Place, type Position } from './position.ts'

export { columnWriter, keyOrder, type ValueType, type ValueWriter } from './pgoutput/column-value.ts'
export type { OldTuple, ReplicaIdentity, TimestampUs } from './pgoutput/message.ts'
export { Tuple, type CellKind } from './pgoutput/tuple.ts'
export { recordWriter, type RecordColumn, type RecordSources, type RecordWriter } from './record-writer.ts'

export { ensurePublications, readPublications, type Publication, type PublicationSpec } from './io/publication.ts'
export { dropSlot, isSlotBase, listSlots, type Slot, type SlotDrop } from './io/slot.ts'
export type { Queryable } from './io/queryable.ts'
export { isMessageTable, storedMessage } from './stored-message.ts'
