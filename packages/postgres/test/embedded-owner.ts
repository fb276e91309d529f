/** Starts an embedded Postgres, says so in one line of JSON, and stays (or, with the argument `leave`, ends without stopping it). */
import { startEmbeddedPostgres } from '../src/io/embedded/embedded-postgres.ts'

const [dataDir, then] = process.argv.slice(2)
try {
  const { pid, port, url, adopted, created } = await startEmbeddedPostgres({ dataDir: dataDir! })
  console.log(JSON.stringify({ pid, port, url, adopted, created, uid: process.getuid?.() }))
  if (then !== 'leave') setInterval(() => {}, 1_000)
} catch (error) {
  console.log(JSON.stringify({ error: (error as Error).message }))
}
