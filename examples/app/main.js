/**
 * The application behind the demos `chat` and `board`: it serves their page, signs users in, and writes to the database. Tidewire
 * delivers what changed. Run it in the folder where `tidewire dev` runs:
 *
 *   node examples/app/main.js chat [port]
 */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { SignJWT } from 'jose'
import pg from 'pg'

const [demo = '', givenPort] = process.argv.slice(2)
const folder = new URL(`../${demo}/`, import.meta.url)
if (!/^\w+$/.test(demo) || !existsSync(new URL('queries.js', folder))) fail('Say which demo: node examples/app/main.js chat')
if (givenPort !== undefined && !(/^\d{1,5}$/.test(givenPort) && Number(givenPort) <= 65_535))
  fail('The port must be a whole number from 0 to 65535.')
if (!existsSync('.tidewire/dev.json')) fail('No dev server runs in this folder: run `npm start` here first.')

const { url, databaseUrl } = JSON.parse(readFileSync('.tidewire/dev.json', 'utf8'))
const { jwtSecret, anonKey } = JSON.parse(readFileSync('.tidewire/keys.json', 'utf8'))
if (databaseUrl === undefined) fail('The dev server of this folder has no database: start it without --no-db.')
const { queries } = await import(new URL('queries.js', folder).href)
const database = new pg.Pool({ connectionString: databaseUrl, max: 5 })
database.on('error', (error) => console.error(`The database closed a connection: ${error.message}`))
await requireTables()

const entry = ['main.tsx', 'main.js'].map((name) => fileURLToPath(new URL(name, folder))).find((path) => existsSync(path))
const { outputFiles } = await build({
  entryPoints: [entry],
  bundle: true,
  format: 'esm',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  write: false,
})

const files = {
  '/': ['text/html', readFileSync(new URL('index.html', folder))],
  '/style.css': ['text/css', readFileSync(new URL('style.css', folder))],
  '/main.js': ['text/javascript', outputFiles[0].contents],
}

// What the page may ask for: a token, and the queries of the demo.
const actions = { 'sign-in': signIn, ...Object.fromEntries(Object.entries(queries).map(([name, sql]) => [name, ask(sql)])) }

const FIRST_PORT = 4100
const PORTS_TRIED = 20

/** A real application asks for a password. */
async function signIn({ name }) {
  if (typeof name !== 'string' || !/^[a-z]{1,20}$/.test(name)) throw new Error('A name has up to 20 small letters.')
  const token = new SignJWT({ role: 'authenticated', sub: name }).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('15m')
  return { token: await token.sign(new TextEncoder().encode(jwtSecret)), anonKey, url: `${url.replace('http', 'ws')}/realtime/v1` }
}

/** Runs a query as the user, so that the policies of the database decide about it. */
function ask(sql) {
  return async ({ values }, claims) => {
    const session = await database.connect()
    try {
      await session.query('begin')
      await session.query("select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)", [claims])
      const { rows } = await session.query(sql, values)
      await session.query('commit')
      return rows
    } catch (error) {
      await session.query('rollback')
      throw error
    } finally {
      session.release()
    }
  }
}

async function claimsOf({ headers }) {
  const { jwtVerify } = await import('jose')
  const token = headers.authorization?.replace('Bearer ', '') ?? ''
  return JSON.stringify((await jwtVerify(token, new TextEncoder().encode(jwtSecret))).payload)
}

const server = createServer((request, response) => void serve(request, response))

async function serve(request, response) {
  const answer = (status, type, body) => response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
  // A page on the web may call itself 127.0.0.1, but cannot keep its name out of `Host`.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) return answer(403, 'text/plain', 'This is for this machine.\n')
  const { pathname } = new URL(request.url, 'http://localhost')
  if (request.method === 'GET')
    return Object.hasOwn(files, pathname) ? answer(200, ...files[pathname]) : answer(404, 'text/plain', 'Not found\n')
  const name = pathname.slice('/api/'.length)
  if (!Object.hasOwn(actions, name) || request.headers['content-type'] !== 'application/json')
    return answer(404, 'text/plain', 'Not found\n')
  try {
    const claims = name === 'sign-in' ? null : await claimsOf(request)
    answer(200, 'application/json', JSON.stringify(await actions[name](await json(request), claims)))
  } catch (error) {
    answer(400, 'application/json', JSON.stringify({ error: error.message }))
  }
}
server.once('listening', () => console.log(`Open http://127.0.0.1:${server.address().port} in two windows. Ctrl-C stops it.`))
listen(givenPort === undefined ? FIRST_PORT : Number(givenPort))
process.once('SIGINT', () => {
  server.closeAllConnections()
  server.close()
  void database.end()
})

/** Without a port in the arguments, takes the next one that is free, so that two demos run side by side. */
function listen(port) {
  server.once('error', (error) => {
    if (error.code !== 'EADDRINUSE') fail(`The demo cannot listen on port ${port}: ${error.message}`)
    if (givenPort !== undefined) fail(`Port ${port} is in use: name another one, or none.`)
    if (port === FIRST_PORT + PORTS_TRIED) fail(`Ports ${FIRST_PORT} to ${port} are in use: name another one.`)
    listen(port + 1)
  })
  server.listen(port, '127.0.0.1')
}

/** Fails with the command that makes them. */
async function requireTables() {
  const schema = readFileSync(new URL('schema.sql', folder), 'utf8')
  const tables = [...schema.matchAll(/create table (?:if not exists )?(\w+)/g)].map(([, name]) => name)
  try {
    const { rows } = await database.query('select name from unnest($1::text[]) name where to_regclass(name) is null', [tables])
    if (rows.length > 0) fail(`The table ${rows[0].name} is missing: run \`npx tidewire sql --file examples/${demo}/schema.sql\` first.`)
  } catch (error) {
    fail(`The database of the dev server does not answer (${error.message}): run \`npm start\` here.`)
  }
}

function fail(sentence) {
  console.error(sentence)
  process.exit(2)
}
