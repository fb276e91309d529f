import { readFileSync } from 'node:fs'
import type * as Client from '@nats-io/transport-node'
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import type { NatsAddress } from '../address.ts'
import type { Broker, BrokerEvents, BrokerSession } from '../broker.ts'

type NatsClient = typeof Client

const CONNECT_TIMEOUT_MS = 5_000

/** A session with what the server says of itself. */
export interface NatsSession extends BrokerSession {
  readonly serverVersion: string
}

export interface NatsBroker extends Broker {
  connect(events: BrokerEvents): Promise<NatsSession>
}

/** NATS, without the reconnecting of its client: that keeps what is published meanwhile in memory, and gives no reason for a failure. */
export function natsBroker(address: NatsAddress, connectionName: string): NatsBroker {
  const place = `NATS at ${address.servers.join(', ')}`
  return {
    place,
    async connect(events) {
      const client = await loadClient()
      let connection: NatsConnection
      try {
        connection = await client.connect(optionsFor(client, address, connectionName))
      } catch (error) {
        throw new Error(sentenceOf(client, place, address, error), { cause: error })
      }
      return sessionOf(client, connection, place, events)
    },
  }
}

async function loadClient(): Promise<NatsClient> {
  try {
    return await import('@nats-io/transport-node')
  } catch (error) {
    throw new Error('The NATS client is not installed: npm install @nats-io/transport-node', { cause: error })
  }
}

function sessionOf(client: NatsClient, connection: NatsConnection, place: string, events: BrokerEvents): NatsSession {
  let closing = false
  let reason: string | null = null
  const ended = async (): Promise<void> => {
    const error = await connection.closed()
    if (!closing) events.closed(reason ?? `${place} closed the connection${error instanceof Error ? `: ${error.message}` : ''}`)
  }
  void ended()
  const watch = async (): Promise<void> => {
    for await (const status of connection.status()) {
      if (closing) return
      if (status.type !== 'error') continue
      const { error } = status
      const denied = error instanceof client.PermissionViolationError
      reason = denied
        ? `${place} does not let this user ${error.operation === 'publish' ? 'publish to' : 'subscribe to'} ${error.subject}`
        : `${place} ended the connection: ${error.message}`
      events.refused(reason, denied)
    }
  }
  watch().catch(() => {})
  return {
    serverVersion: connection.info?.version ?? 'unknown',
    maxPayloadBytes: connection.info?.max_payload ?? 1_048_576,
    publish: (subject, bytes) => {
      // A client that closed this very moment throws; that it closed is reported by `closed`.
      if (!connection.isClosed()) connection.publish(subject, bytes)
    },
    subscribe(subject, received) {
      const subscription = connection.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) received(message.data)
        },
      })
      return () => {
        if (!connection.isClosed()) subscription.unsubscribe()
      }
    },
    confirm: () => connection.flush(),
    async close() {
      closing = true
      try {
        // Drains: what was published is sent first.
        await connection.drain()
      } catch {
        await connection.close()
      }
    },
  }
}

function optionsFor(client: NatsClient, address: NatsAddress, name: string): ConnectionOptions {
  const { servers, encryption, tls } = address
  return {
    servers: [...servers],
    name,
    noEcho: true,
    reconnect: false,
    ignoreClusterUpdates: true,
    timeout: CONNECT_TIMEOUT_MS,
    // The relay asks every second by itself.
    pingInterval: 30_000,
    noAsyncTraces: true,
    ...(encryption === 'required' ? { tls: { ...tls } } : {}),
    ...credentialsFor(client, address),
  }
}

function credentialsFor(client: NatsClient, { credentials }: NatsAddress): Partial<ConnectionOptions> {
  switch (credentials.kind) {
    case 'none':
      return {}
    case 'token':
      return { token: credentials.token }
    case 'password':
      return { user: credentials.user, pass: credentials.password }
    case 'file':
      return { authenticator: client.credsAuthenticator(readFileSync(credentials.path)) }
  }
}

/** Says what to do; never holds a secret. */
function sentenceOf(client: NatsClient, place: string, { encryption, credentials }: NatsAddress, error: unknown): string {
  if (error instanceof client.AuthorizationError || error instanceof client.UserAuthenticationExpiredError) {
    return credentials.kind === 'none'
      ? `${place} asks for credentials, and none are configured`
      : `${place} refused the credentials (${kindOf(credentials.kind)})`
  }
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const text = cause instanceof Error ? cause.message : String(cause)
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : ''
  if (code === 'ENOENT' && credentials.kind === 'file') return `The credentials file ${credentials.path} does not exist`
  if (encryption === 'required' && text.includes("does not support 'tls'")) return `${place} offers no TLS, which this node requires`
  if (code === 'ECONNREFUSED') return `${place} is not reachable: connection refused`
  if (code !== '' && text === '') return `${place} is not reachable: ${code}`
  return `${place} is not reachable: ${text}`
}

function kindOf(kind: 'token' | 'password' | 'file'): string {
  return kind === 'file' ? 'a credentials file' : kind === 'token' ? 'a token' : 'user and password'
}
