import type { Observer } from '../ports.ts'

/** One observer that tells several, in their order. */
export function allObservers(observers: readonly Observer[]): Observer {
  return {
    decision: (decision) => {
      for (const observer of observers) observer.decision(decision)
    },
    connected: (connection) => {
      for (const observer of observers) observer.connected(connection)
    },
    disconnected: (connection, code) => {
      for (const observer of observers) observer.disconnected(connection, code)
    },
    joined: (connection, topic) => {
      for (const observer of observers) observer.joined(connection, topic)
    },
    left: (connection, topic) => {
      for (const observer of observers) observer.left(connection, topic)
    },
    broadcast: (topic, receivers, bytes) => {
      for (const observer of observers) observer.broadcast(topic, receivers, bytes)
    },
    received: (bytes) => {
      for (const observer of observers) observer.received(bytes)
    },
  }
}
