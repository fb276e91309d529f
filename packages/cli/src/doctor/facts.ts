/** Facts about a database that matter to Tidewire. */
export interface DatabaseFacts {
  /** The host of the URL. */
  readonly host: string
  readonly port: number
  /** The URL names a pooler: `pgbouncer=true`. */
  readonly saysPooler: boolean
  /** Why a replication connection was refused; `null`: it was not. */
  readonly replicationRefused: string | null
  readonly version: { readonly text: string; readonly number: number }
  readonly isStandby: boolean
  readonly isRds: boolean
  readonly user: string
  readonly database: string
  readonly mayReplicate: boolean
  readonly mayCreateInDatabase: boolean
  readonly mayCreateRoles: boolean
  readonly walLevel: string
  readonly slots: Capacity
  readonly senders: Capacity
  /** Megabytes; -1 is no bound. */
  readonly maxSlotWalKeepMb: number
  /** The environment holds TIDEWIRE_ALLOW_UNBOUNDED_WAL, with which `start` takes a database without that bound. */
  readonly acceptsUnboundedWal: boolean
  readonly synchronousStandbyNames: string
  /** As in postgresql.conf: `on`, `off`, `local`, … */
  readonly synchronousCommit: string
  readonly walWriterDelayMs: number
  readonly roles: readonly RoleFacts[]
  /** `null`: there is none. */
  readonly publication: PublicationFacts | null
  /** `null`: there is no such table. */
  readonly messages: MessagesFacts | null
  /** Slots of Tidewire in this database: the anchor, and a copy for each server that runs. */
  readonly ownSlots: readonly OwnSlot[]
  /** The oldest transaction that has written and is open, for people; `null`: there is none. */
  readonly oldestTransaction: string | null
}

export interface Capacity {
  readonly used: number
  readonly most: number
}

export interface RoleFacts {
  readonly name: string
  readonly exists: boolean
  /** The login may act as this role. */
  readonly isOurs: boolean
}

export interface PublicationFacts {
  /** The operations that it does not publish, of insert, update and delete. */
  readonly leavesOut: readonly string[]
  /** The publication contains stored generated columns, which is possible from Postgres 18 on. */
  readonly hasGenerated: boolean
  readonly tables: readonly CheckedTable[]
}

export interface CheckedTable {
  /** Quoted, with its schema. */
  readonly name: string
  readonly hasPrimaryKey: boolean
  /** Quoted columns of a unique index without nulls: they could be the primary key. `null`: there is none. */
  readonly uniqueKey: string | null
  /** Has a column of the name `id`. */
  readonly hasId: boolean
  /** `pg_class.relreplident`: `d`efault, `n`othing, `f`ull, `i`ndex. */
  readonly replicaIdentity: string
  readonly hasRls: boolean
  /** `pg_attribute.attgenerated` of its columns: of `s`tored and `v`irtual, those that it has. */
  readonly generated: readonly string[]
  /** anon or authenticated may select from it. */
  readonly isReadable: boolean
}

export interface MessagesFacts {
  readonly hasRls: boolean
  readonly isPartitioned: boolean
  /** There is a partition for what is sent now. */
  readonly takesToday: boolean
  readonly policies: number
}

export interface OwnSlot {
  readonly name: string
  readonly role: 'anchor' | 'copy' | 'temporary'
  /** The server that reads a copy. */
  readonly node: string | null
  readonly isActive: boolean
  readonly lostBecause: string | null
  readonly retainedBytes: number
  /** The part of these bytes that is behind its position: no server needs it, but an open transaction keeps it. */
  readonly heldBytes: number
  /** Transactions since the oldest one whose dead catalog rows vacuum keeps because of it. */
  readonly catalogAge: number
}
