/** The code of an error of Postgres, of a socket or of ours; empty where there is none. */
export function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** `null`: it comes from the network, or from `pg` itself. */
export function sqlStateOf(error: unknown): string | null {
  const code = codeOf(error)
  return /^[0-9A-DF-Z][0-9A-Z]{4}$/.test(code) ? code : null
}

/** `ERROR` in the languages that Postgres has. What is FATAL or PANIC ends the session; a word that is not known is taken for that. */
const RAISED = /^(ERROR|FEHLER|ERREUR|ERRORE|ERRO|FEL|HATA|CHYBA|BŁĄD|ОШИБКА|ПОМИЛКА|エラー|오류|错误|錯誤)$/

/**
 * A statement raised it, and its session goes on: whatever the code says, the database can be reached. Functions of policies choose
 * their codes, and foreign tables pass on those of other servers.
 */
export function isRaised(error: unknown): boolean {
  const severity = (error as { readonly severity?: unknown } | null)?.severity
  return typeof severity === 'string' && RAISED.test(severity)
}

/**
 * Whether the database could not be reached: the only faults for which rows wait as long as they last. SQLSTATE classes 08,
 * 53 (no connection is left) and 57P0x, errors of sockets and DNS, and our own time-outs while connecting. Everything else, and
 * whatever {@link isRaised}, is a fault of a row, a table or a subscription, and would fail again.
 */
export function isUnreachable(error: unknown): boolean {
  if (isRaised(error)) return false
  const code = codeOf(error)
  if (code !== '') return /^(08...|57P0.|53...|E[A-Z]{3,}|EAI_[A-Z]+|pool-timeout)$/.test(code)
  const { message } = error as { readonly message?: unknown }
  return typeof message === 'string' && PG_MESSAGES.test(message)
}

/** What `pg` says of a statement that takes longer than `query_timeout`. Postgres would have cancelled it long before. */
export const READ_TIMEOUT = 'Query read timeout'

/** `pg` has no code for a connection that ended or took too long. */
const PG_MESSAGES =
  /^(Connection terminated|timeout expired|timeout exceeded|Query read timeout|Client has encountered a connection error|Client was closed|Connection ended)/

/** A question to which many statements would have had to be asked, so that they took longer in all than they may. */
export class OutOfTime extends Error {
  readonly code = '57014'

  constructor() {
    super('policies, filters and other expressions took too long in all')
  }
}

/** SQLSTATE 57014: the statement, or all of a question, took longer than it may; class 53: it lacked memory, locks or disk. */
export function isTimeout(error: unknown): boolean {
  const code = codeOf(error)
  return code === '57014' || (isRaised(error) && code.startsWith('53'))
}

/** For logs. Never holds a row: Postgres puts values into `detail`, which is left out. */
export function errorText(error: unknown): string {
  const { message } = error as { readonly message?: unknown }
  const text = typeof message === 'string' ? message : String(error)
  const code = codeOf(error)
  return code === '' ? text : `${code}: ${text}`
}

/** What a client gets when the database gave no answer, in the words of the reference (rules J5, A5). */
export function databaseReason(error: unknown): string {
  switch (codeOf(error)) {
    case '57014':
      return `QueryCanceled: ${(error as { readonly message?: string }).message ?? 'the query took too long'}`
    case '23514':
      return 'MissingPartition: Realtime was unable to find the expected messages partition'
    case '53300':
      return "DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect"
    case 'pool-timeout':
      return 'IncreaseConnectionPool: Please increase your connection pool size'
    default:
      return 'UnableToConnectToProject: Realtime was unable to connect to the project database'
  }
}
