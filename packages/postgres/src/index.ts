export { startEmbeddedPostgres, type EmbeddedPostgresOptions } from './io/embedded-postgres.ts'
export type { EmbeddedPostgres } from './io/running-server.ts'
