/** The part of a database session that queries need; the clients and pools of `pg` have it. */
export interface Queryable {
  /** Of several statements in one text, which may have no values, the answer is a list of results. */
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/** Lends sessions. */
export interface Sessions {
  /** Runs `work` on a session that is used for nothing else meanwhile; rejects when none can be had. */
  withSession<T>(work: (session: Queryable) => Promise<T>): Promise<T>
}
