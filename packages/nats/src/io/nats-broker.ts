import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as Client from '@nats-io/transport-node'
import type { Authenticator, ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import type { NatsAddress } from '../address.ts'
import type { Broker, BrokerEvents, BrokerSession } from '../broker.ts'

type NatsClient = typeof Client

/** A host that is away does not answer at all. Linux asks it after 0, 1 and 3 seconds: a pause of five would miss its return for too long. */
const CONNECT_TIMEOUT_MS = 3_500
const DRAIN_MS = 1_000

/** A session with what the server says of itself. */
export interface NatsSession extends BrokerSession {
  readonly serverVersion: string
}

export interface NatsBroker extends Broker {
  connect(events: BrokerEvents): Promise<NatsSession>
}

/** NATS, without the reconnecting of its client: that keeps messages in memory meanwhile, and gives no reason for a failure. */
export function natsBroker(address: NatsAddress, connectionName: string): NatsBroker {
  const { servers } = address
  let next = 0
  return {
    place: `NATS at ${servers.join(', ')}`,
    async connect(events) {
      const client = await loadClient()
      let failure = new Error('no server of NATS is configured')
      for (let tried = 0; tried < servers.length; tried++) {
        const server = servers[next++ % servers.length]!
        const place = `NATS at ${server}`
        try {
          const connection = await client.connect(optionsFor(client, address, server, connectionName))
          return sessionOf(client, connection, place, events)
        } catch (error) {
          failure = new Error(sentenceOf(client, place, address, error), { cause: error })
        }
      }
      throw failure
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
    get maxPayloadBytes() {
      return connection.info?.max_payload ?? 1_048_576
    },
    publish(subject, bytes) {
      try {
        connection.publish(subject, bytes)
        return true
      } catch {
        // The connection is closed, which `closed` reports.
        return false
      }
    },
    subscribe(subject, received) {
      const subscription = connection.subscribe(subject, {
        callback: (error, message) => {
          // A closing session delivers nothing more: the session after it gets the same messages.
          if (error === null && !closing) received(message.data)
        },
      })
      return () => {
        if (!connection.isClosed()) subscription.unsubscribe()
      }
    },
    confirm: () => connection.flush(),
    async close() {
      closing = true
      // Drains: published messages are sent first. A silent server would keep the connection, and with it the process.
      await Promise.race([connection.drain().catch(() => {}), sleep(DRAIN_MS, undefined, { ref: false })])
      await connection.close()
    },
  }
}

function optionsFor(client: NatsClient, address: NatsAddress, server: string, name: string): ConnectionOptions {
  const { encryption, tls } = address
  // Given for names only: with an address, the client would compare the certificate with "localhost".
  const host = server.replace(/^\[?(.*?)\]?:\d+$/, '$1')
  const identity = isIP(host) === 0 ? {} : { host }
  return {
    servers: server,
    name,
    noEcho: true,
    reconnect: false,
    timeout: CONNECT_TIMEOUT_MS,
    // The relay asks every second by itself.
    pingInterval: 30_000,
    noAsyncTraces: true,
    ...(encryption === 'required' ? { tls: { ...tls, ...identity } } : {}),
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
      return { authenticator: authenticatorFrom(client, credentials.path) }
  }
}

/** A file that cannot be used is no fault of the server. */
function authenticatorFrom(client: NatsClient, path: string): Authenticator {
  const authenticator = client.credsAuthenticator(readCredentials(path))
  try {
    authenticator('')
  } catch {
    throw new CredentialsFileError(`The credentials file ${path} cannot be used: it must hold the JWT and the seed of a user`)
  }
  return authenticator
}

function readCredentials(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new CredentialsFileError(`The credentials file ${path} ${code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}`}`)
  }
}

class CredentialsFileError extends Error {}

/** Says what to do; never holds a secret. */
function sentenceOf(client: NatsClient, place: string, { encryption, credentials }: NatsAddress, error: unknown): string {
  if (error instanceof CredentialsFileError) return error.message
  if (error instanceof client.AuthorizationError || error instanceof client.UserAuthenticationExpiredError) {
    return credentials.kind === 'none'
      ? `${place} asks for credentials, and none are configured`
      : `${place} refused the credentials (${kindOf(credentials.kind)})`
  }
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const text = cause instanceof Error ? cause.message : String(cause)
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : ''
  if (encryption === 'required' && text.includes("does not support 'tls'")) return `${place} offers no TLS, which this node requires`
  if (code === 'ECONNREFUSED') return `${place} is not reachable: connection refused`
  if (code !== '' && text === '') return `${place} is not reachable: ${code}`
  return `${place} is not reachable: ${text}`
}

function kindOf(kind: 'token' | 'password' | 'file'): string {
  return kind === 'file' ? 'a credentials file' : kind === 'token' ? 'a token' : 'user and password'
}
