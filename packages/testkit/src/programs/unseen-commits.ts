/** What is asked of a session of Postgres here. */
interface Session {
  query(sql: string): Promise<{ readonly rows: readonly unknown[] }>
}

/**
 * From now on commits wait for a standby that never comes: they are in the stream, and no session sees them. `admin` is a superuser's
 * session, `probe` another one, of the same database. Waits until commits wait: the checkpointer has them do so, some time after sessions
 * show the setting.
 */
export async function holdCommits(admin: Session, probe: Session): Promise<void> {
  await waitFor(admin, 'nobody')
  const [backend] = (await probe.query('select pg_backend_pid() as pid')).rows as [{ readonly pid: number }]
  let held = false
  while (!held) {
    let ended = false
    const committed = probe.query(`select pg_logical_emit_message(true, 'probe', '')`).finally(() => (ended = true))
    while (!ended && !held) held = await waits(admin, backend.pid)
    // Ends the wait alone: the transaction is committed.
    if (held) await admin.query(`select pg_cancel_backend(${backend.pid})`)
    await committed
  }
}

/** Commits are seen at once again, also those that wait. */
export async function releaseCommits(admin: Session): Promise<void> {
  await waitFor(admin, '')
}

/** Has commits wait for the standby of this name; without a name, for none. */
async function waitFor(admin: Session, standby: string): Promise<void> {
  await admin.query(`alter system set synchronous_standby_names = '${standby}'`)
  await admin.query('select pg_reload_conf()')
}

async function waits(admin: Session, pid: number): Promise<boolean> {
  const { rows } = await admin.query(`select from pg_stat_activity where pid = ${pid} and wait_event = 'SyncRep'`)
  return rows.length > 0
}
