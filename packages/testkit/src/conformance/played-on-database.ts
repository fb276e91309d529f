/** The needs of a recording of the database that it is played on. */
export interface DatabaseSetting {
  /** Where the keys of its tables begin, by sequence. */
  readonly sequences?: Readonly<Record<string, number>>
  readonly deadlineMs?: number
  /** What the recording's tokens hold, where it does not say. */
  readonly token?: string
  /** Its slot outlives a restart of Postgres. */
  readonly permanentSlot?: boolean
}

/** The recordings that are played on a real Postgres; those with rows name the keys that the rows had. */
export const playedOnDatabase: Readonly<Record<string, DatabaseSetting>> = {
  v1_broadcast_from_database: { sequences: { bc_id_seq: 7 } },
  v1_join_all_config_keys: {},
  v1_legacy_topic_join: { sequences: { notes_id_seq: 12486 } },
  v1_replay: {},
  v1_postgres_changes_select: { sequences: { notes_id_seq: 12484 } },
  v1_postgres_changes_basic: { sequences: { notes_id_seq: 12468, notes_full_id_seq: 5 } },
  v1_postgres_changes_errors: {},
  v1_postgres_changes_filters: { sequences: { notes_id_seq: 12478 } },
  v1_postgres_changes_large_row: { sequences: { notes_id_seq: 12485 } },
  v1_postgres_changes_rls: { sequences: { rls_notes_id_seq: 212 } },
  v1_postgres_changes_types: { sequences: { types_id_seq: 3 } },
  v1_private_allowed_denied: {},
  v1_private_presence: {},
  v1_access_token_refresh: {},
  v1_socket_token_expires: { deadlineMs: 10_000 },
  v2_broadcast_from_database: { sequences: { bc_id_seq: 8 } },
  v2_join_all_config_keys: {},
  v2_join_public: {},
  v2_postgres_changes_basic: { sequences: { notes_id_seq: 12473, notes_full_id_seq: 6 } },
  y1_database_restart: { sequences: { notes_id_seq: 27 }, deadlineMs: 15_000, permanentSlot: true, token: 'role=authenticated exp=future' },
}
