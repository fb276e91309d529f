import type { ConnectionState, Loss, RealtimeClient } from '@tidewire/client'
import { useCallback, useSyncExternalStore } from 'react'
import { useRealtime } from './provider.ts'

/** The state of the connection. */
export interface Connection {
  readonly status: ConnectionState['kind']
  readonly isConnected: boolean
  /** How many attempts have failed in a row, while `connecting` or `waiting`; else 0. */
  readonly attempt: number
  /** While `waiting`: how long this wait is, in milliseconds; else `null`. */
  readonly retryInMs: number | null
  /** While `waiting`: why the connection was lost; else `null`. */
  readonly cause: Loss | null
}

const DISCONNECTED: Connection = { status: 'disconnected', isConnected: false, attempt: 0, retryInMs: null, cause: null }

/** The state of the client's connection, the same object until its kind changes. On the server it is `disconnected`. */
export function useConnection(): Connection {
  const client = useRealtime()
  const subscribe = useCallback((changed: () => void) => client.onState(changed), [client])
  const snapshot = useCallback(() => connectionOf(client), [client])
  return useSyncExternalStore(subscribe, snapshot, () => DISCONNECTED)
}

const known = new WeakMap<RealtimeClient, Connection>()

function connectionOf(client: RealtimeClient): Connection {
  const connection = read(client.state)
  const before = known.get(client)
  if (before !== undefined && isSame(before, connection)) return before
  known.set(client, connection)
  return connection
}

function read(state: ConnectionState): Connection {
  const { kind: status } = state
  return {
    status,
    isConnected: status === 'connected',
    attempt: status === 'connecting' || status === 'waiting' ? state.attempt : 0,
    retryInMs: status === 'waiting' ? state.retryInMs : null,
    cause: status === 'waiting' ? state.cause : null,
  }
}

function isSame(a: Connection, b: Connection): boolean {
  return a.status === b.status && a.attempt === b.attempt && a.retryInMs === b.retryInMs && a.cause === b.cause
}
