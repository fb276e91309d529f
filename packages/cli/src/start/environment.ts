import type { ServerOptions, TokenVerifierOptions } from '@tidewire/server'
import { z } from 'zod'
import { MIN_SECRET_BYTES, postgresUrl } from '../values.ts'
import { nodeNameOf, readCluster, type ClusterConfiguration } from './nats-environment.ts'
import { unknownVariables, unusedVariables } from './unknown-variables.ts'
import {
  ADVISED_SECRET_BYTES,
  field,
  hostName,
  keySource,
  limit,
  LOG_LEVELS,
  object,
  onOff,
  plain,
  readWorkers,
  secret,
  whole,
  type KeySource,
  type LogLevel,
} from './variable-fields.ts'

/** The configuration of `tidewire start`. */
export interface StartConfiguration {
  readonly host: string
  readonly port: number
  readonly logLevel: LogLevel
  readonly verifier: Pick<TokenVerifierOptions, 'secret' | 'jwks' | 'jwksUrl'>
  readonly metricsSecret: string | null
  /** The secret that keys of the inspector are signed with; `null`: it is off. */
  readonly adminSecret: string | null
  readonly options: ServerOptions
  readonly database: { readonly url: string; readonly poolSize: number } | null
  /** The name of this server among others, in logs and metrics. */
  readonly nodeName: string
  /** The cluster that the server joins; `null`: it is the only node. */
  readonly cluster: ClusterConfiguration | null
  /** How many processes serve the port; `auto`: as many as this machine has cores and the database has room for. */
  readonly workers: number | 'auto'
  /** Use a database without a bound on the write-ahead log of its slots. */
  readonly allowUnboundedWal: boolean
  /** Sentences for the operator: variables that change nothing, a short secret. */
  readonly warnings: readonly string[]
}

export type StartConfigurationResult =
  | { readonly ok: true; readonly configuration: StartConfiguration }
  /** A line per fault; never holds a value, which may be a secret. */
  | { readonly ok: false; readonly faults: readonly string[] }

/** Reads the variables. An empty one counts as not set, as compose files leave them. */
export function readEnvironment(environment: { readonly [name: string]: string | undefined }): StartConfigurationResult {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value.trim() !== ''))
  const read = schema.safeParse(given)
  const faults = read.success ? [] : read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  if (given['API_JWT_SECRET'] === undefined && given['API_JWT_JWKS'] === undefined)
    faults.unshift('API_JWT_SECRET: is missing; set it (`tidewire keys` makes one), or API_JWT_JWKS, so that tokens can be verified')
  if (given['TIDEWIRE_INSPECTOR'] !== undefined && read.data?.TIDEWIRE_INSPECTOR === true && given['TIDEWIRE_ADMIN_SECRET'] === undefined)
    faults.push(`TIDEWIRE_ADMIN_SECRET: is missing; the inspector needs it, a text of its own of at least ${MIN_SECRET_BYTES} bytes`)
  if (given['TIDEWIRE_ADMIN_SECRET'] !== undefined && given['TIDEWIRE_ADMIN_SECRET'] === given['API_JWT_SECRET'])
    faults.push('TIDEWIRE_ADMIN_SECRET: must differ from API_JWT_SECRET; a signer of client keys could open the inspector')
  if (read.data?.TIDEWIRE_PRIVATE_ONLY === true && read.data.DATABASE_URL === undefined && read.data.DB_HOST === undefined)
    faults.push('TIDEWIRE_PRIVATE_ONLY: needs DATABASE_URL; policies in Postgres decide private channels, so every join would be refused')
  const cluster = readCluster(read.data ?? {}, read.data?.PORT ?? DEFAULT_PORT)
  if (!cluster.ok) faults.push(...cluster.faults)
  // A missing variable may be there under a misspelt name.
  if (!read.success || !cluster.ok || faults.length > 0)
    return { ok: false, faults: [...faults, ...unknownVariables(Object.keys(given), Object.keys(schema.shape))] }
  return { ok: true, configuration: configurationOf(read.data, cluster.cluster, warningsOf(given)) }
}

/** Name and meaning of every variable, in the order in which to show them. */
export function describeEnvironment(): readonly (readonly [name: string, meaning: string])[] {
  return Object.entries(schema.shape).map(([name, { description = '' }]) => [name, description])
}

const SIGNING_SECRETS = ['API_JWT_SECRET', 'METRICS_JWT_SECRET', 'TIDEWIRE_ADMIN_SECRET'] as const

function warningsOf(given: { readonly [name: string]: string | undefined }): readonly string[] {
  const short = SIGNING_SECRETS.filter((name) => {
    const bytes = Buffer.byteLength(given[name]?.trim() ?? '')
    return bytes > 0 && bytes < ADVISED_SECRET_BYTES
  })
  return [
    ...short.map((name) => `${name} is shorter than ${ADVISED_SECRET_BYTES} bytes, which HS256 asks for`),
    ...unknownVariables(Object.keys(given), Object.keys(schema.shape)),
    ...unusedVariables(Object.keys(given)),
  ]
}

const DEFAULT_PORT = 4000

/** Every variable, in the order in which to show them. */
const schema = z.object({
  PORT: whole('Where to listen. Default 4000', 0, 65_535),
  HOST: field('The address to listen on. Default 0.0.0.0', 'an address or a host name', hostName),
  LOG_LEVEL: field('debug, info (default), warning, error or none', `one of ${Object.keys(LOG_LEVELS).join(', ')}`, (text) =>
    Object.hasOwn(LOG_LEVELS, text) ? LOG_LEVELS[text] : undefined,
  ),
  API_JWT_SECRET: secret('The secret that HS256 tokens are signed with'),
  API_JWT_JWKS: field<KeySource>(
    'A JSON Web Key Set, or the URL of one',
    'a JSON Web Key Set such as {"keys":[…]}, or the URL of one',
    keySource,
  ),
  JWT_CLAIM_VALIDATORS: field('Claims that every token must have, as JSON: {"iss":"…"}', 'a JSON object such as {"iss":"…"}', object),
  METRICS_JWT_SECRET: secret('The secret for tokens that may read /metrics'),
  DATABASE_URL: field(
    'A Postgres: for row changes, private channels, replay and messages from SQL',
    'a URL such as postgres://user:password@host:5432/name',
    postgresUrl,
  ),
  DB_HOST: field('A Postgres, in parts, where there is no DATABASE_URL', 'a host name or an address', hostName),
  DB_PORT: whole('Default 5432', 1, 65_535),
  DB_USER: plain('Default supabase_admin'),
  DB_PASSWORD: plain('Default postgres'),
  DB_NAME: plain('Default postgres'),
  DB_SSL: onOff('true or false (default)'),
  DB_POOL_SIZE: whole('Sessions that questions about private channels may use. Default 5', 1, 1_000),
  MAX_CONNECTIONS: whole('Open sockets, before new ones are turned away. Default 65536', 1),
  TENANT_MAX_CONCURRENT_USERS: limit('Connections with a channel. Default 200'),
  TENANT_MAX_CHANNELS_PER_CLIENT: limit('Channels of one connection. Default 100'),
  TENANT_MAX_JOINS_PER_SECOND: limit('Default 100'),
  TENANT_MAX_EVENTS_PER_SECOND: limit('Broadcasts. Default 100'),
  CLIENT_PRESENCE_MAX_CALLS: limit('Presence calls of one channel within the window. Default 5'),
  CLIENT_PRESENCE_WINDOW_MS: whole('Default 30000', 1),
  TIDEWIRE_MAX_PRESENCE_EVENTS_PER_SECOND: limit('Default 1000'),
  TIDEWIRE_MAX_PAYLOAD_BYTES: whole('Of one broadcast or presence message. Default 3000500', 1),
  TIDEWIRE_MAX_FRAME_BYTES: whole('Of one WebSocket message. Default 5000000', 1),
  TIDEWIRE_MAX_BODY_BYTES: whole('Of one HTTP request. Default 8000000', 1),
  TIDEWIRE_MAX_CHANGES_PER_JOIN: whole('Entries in postgres_changes of one join. Default 1000', 1),
  TIDEWIRE_MAX_CONDITIONS_PER_FILTER: whole('Default 100', 1),
  TIDEWIRE_MAX_CONDITIONS_PER_JOIN: whole('Conditions of all filters of one join. Default 2000', 1),
  TIDEWIRE_MAX_PRESENCE_VALUES: whole('Keys and list elements of one tracked payload. Default 5000', 1),
  TIDEWIRE_MAX_PRESENCE_BYTES: whole('Bytes of all that is tracked in one topic. Default 5000000', 1),
  TIDEWIRE_MAX_UNFINISHED_BYTES: whole('Messages that have not come to their end, of all sockets. Default 67108864', 1),
  TIDEWIRE_FRAME_TIMEOUT_MS: whole('How long a message may take to come to its end. Default 30000', 1),
  TIDEWIRE_INSPECTOR: onOff('Serve the inspector at /_/: true or false (default)'),
  TIDEWIRE_ADMIN_SECRET: secret('The secret that keys of the inspector are signed with'),
  TIDEWIRE_ALLOW_UNBOUNDED_WAL: onOff('Start although max_slot_wal_keep_size of the database is -1: true or false (default)'),
  TIDEWIRE_PRIVATE_ONLY: onOff('Refuse public channels: true or false (default)'),
  TIDEWIRE_IDLE_TIMEOUT_MS: whole('A socket that is silent for so long is closed. Default 60000', 1_000),
  TIDEWIRE_MAX_BACKLOG_BYTES: whole('What may wait for a receiver that takes nothing for 2 s. Default 1048576', 1),
  TIDEWIRE_MAX_MOVING_BACKLOG_BYTES: whole('What may wait for one that keeps reading. Default 67108864', 1),
  TIDEWIRE_MAX_STALL_MS: whole('How long a receiver may take nothing of it. Default 10000', 1),
  TIDEWIRE_LINGER_MS: whole('How long messages are gathered under load; 0 turns it off. Default 1', 0, 1_000),
  TIDEWIRE_HEADERS_TIMEOUT_MS: whole('How long the head of a request may take. Default 10000', 1),
  TIDEWIRE_DRAIN_TIMEOUT_MS: whole('How long closing may take at the end. Default 5000', 0),
  TIDEWIRE_DRAIN_DELAY_MS: whole('How long sockets are still taken after the health check said 503. Default 0', 0, 300_000),
  TIDEWIRE_WORKERS: field(
    'Processes that serve the port together: a number, or auto. Default 1',
    'a whole number from 1 to 64, or auto',
    readWorkers,
  ),
  TIDEWIRE_NATS_URL: plain('NATS, through which several servers are one: nats://host:4222, or several with commas', 'a URL'),
  TIDEWIRE_NATS_CREDS: plain('A file with credentials for it', 'a path'),
  TIDEWIRE_NATS_TOKEN: plain('A token for it'),
  TIDEWIRE_NATS_USER: plain('A user of it'),
  TIDEWIRE_NATS_PASSWORD: plain('The password of that user'),
  TIDEWIRE_NATS_TLS_CA: plain('A PEM file with the authority that its certificate is checked with', 'a path'),
  TIDEWIRE_NATS_TLS_CERT: plain('A PEM file with a certificate of this server', 'a path'),
  TIDEWIRE_NATS_TLS_KEY: plain('A PEM file with the key of that certificate', 'a path'),
  TIDEWIRE_NATS_PREFIX: plain('What all its subjects begin with. Default tidewire'),
  TIDEWIRE_NATS_ALLOW_INSECURE: onOff('Use a NATS on another machine without credentials or TLS: true or false (default)'),
  TIDEWIRE_NODE_NAME: field(
    'The name of this server among several (NATS, workers). Default: host name and port',
    'a text of at most 64 characters',
    (text) => (text.length <= 64 ? text : undefined),
  ),
})

function configurationOf(
  values: z.infer<typeof schema>,
  cluster: ClusterConfiguration | null,
  warnings: readonly string[],
): StartConfiguration {
  const limits = {
    maxConnectedUsers: values.TENANT_MAX_CONCURRENT_USERS,
    maxChannelsPerConnection: values.TENANT_MAX_CHANNELS_PER_CLIENT,
    maxJoinsPerSecond: values.TENANT_MAX_JOINS_PER_SECOND,
    maxEventsPerSecond: values.TENANT_MAX_EVENTS_PER_SECOND,
    maxPresenceEventsPerSecond: values.TIDEWIRE_MAX_PRESENCE_EVENTS_PER_SECOND,
    maxPresenceCallsPerWindow: values.CLIENT_PRESENCE_MAX_CALLS,
    presenceWindowMs: values.CLIENT_PRESENCE_WINDOW_MS,
    maxPayloadBytes: values.TIDEWIRE_MAX_PAYLOAD_BYTES,
    maxFrameBytes: values.TIDEWIRE_MAX_FRAME_BYTES,
    maxBodyBytes: values.TIDEWIRE_MAX_BODY_BYTES,
    maxChangesPerJoin: values.TIDEWIRE_MAX_CHANGES_PER_JOIN,
    maxConditionsPerFilter: values.TIDEWIRE_MAX_CONDITIONS_PER_FILTER,
    maxConditionsPerJoin: values.TIDEWIRE_MAX_CONDITIONS_PER_JOIN,
    maxPresenceValues: values.TIDEWIRE_MAX_PRESENCE_VALUES,
    maxPresenceBytes: values.TIDEWIRE_MAX_PRESENCE_BYTES,
    maxUnfinishedBytes: values.TIDEWIRE_MAX_UNFINISHED_BYTES,
    frameTimeoutMs: values.TIDEWIRE_FRAME_TIMEOUT_MS,
  }
  const options = {
    privateOnly: values.TIDEWIRE_PRIVATE_ONLY,
    requiredClaims: values.JWT_CLAIM_VALIDATORS,
    idleTimeoutMs: values.TIDEWIRE_IDLE_TIMEOUT_MS,
    maxBacklogBytes: values.TIDEWIRE_MAX_BACKLOG_BYTES,
    maxMovingBacklogBytes: values.TIDEWIRE_MAX_MOVING_BACKLOG_BYTES,
    maxStallMs: values.TIDEWIRE_MAX_STALL_MS,
    lingerMs: values.TIDEWIRE_LINGER_MS,
    maxSockets: values.MAX_CONNECTIONS,
    headersTimeoutMs: values.TIDEWIRE_HEADERS_TIMEOUT_MS,
    drainTimeoutMs: values.TIDEWIRE_DRAIN_TIMEOUT_MS,
    drainDelayMs: values.TIDEWIRE_DRAIN_DELAY_MS,
  }
  return {
    host: values.HOST ?? '0.0.0.0',
    port: values.PORT ?? DEFAULT_PORT,
    logLevel: values.LOG_LEVEL ?? 'info',
    verifier: { secret: values.API_JWT_SECRET, ...values.API_JWT_JWKS },
    metricsSecret: values.METRICS_JWT_SECRET ?? null,
    adminSecret: values.TIDEWIRE_INSPECTOR === true ? (values.TIDEWIRE_ADMIN_SECRET ?? null) : null,
    database: databaseOf(values),
    nodeName: nodeNameOf(values, values.PORT ?? DEFAULT_PORT),
    cluster,
    workers: values.TIDEWIRE_WORKERS ?? 1,
    allowUnboundedWal: values.TIDEWIRE_ALLOW_UNBOUNDED_WAL ?? false,
    options: { ...defined(options), limits: defined(limits) },
    warnings,
  }
}

function databaseOf(values: z.infer<typeof schema>): StartConfiguration['database'] {
  const poolSize = values.DB_POOL_SIZE ?? 5
  if (values.DATABASE_URL !== undefined) return { url: values.DATABASE_URL, poolSize }
  if (values.DB_HOST === undefined) return null
  const { DB_HOST: host, DB_PORT: port = 5432, DB_USER: user = 'supabase_admin', DB_PASSWORD: password = 'postgres' } = values
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}/${encodeURIComponent(values.DB_NAME ?? 'postgres')}`
  const url = `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${place}${values.DB_SSL === true ? '?sslmode=require' : ''}`
  return { url, poolSize }
}

type Defined<Values> = { [Name in keyof Values]?: Exclude<Values[Name], undefined> }

function defined<Values extends object>(values: Values): Defined<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<Values>
}
