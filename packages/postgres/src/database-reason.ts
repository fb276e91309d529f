/** What a client gets when the database gave no answer, in the words of the reference (rules J5, A5). */
export function databaseReason(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  switch (code) {
    case '57014':
      return `QueryCanceled: ${message ?? 'the query took too long'}`
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
