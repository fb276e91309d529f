/** What is needed of a database session; the clients and pools of `pg` have it. */
export interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}
