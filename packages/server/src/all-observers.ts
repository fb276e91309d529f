import type { Observer } from './ports.ts'

/** One observer that tells several, in their order. It measures what any of them asks for. */
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
    joined: (connection, topic, isPrivate) => {
      for (const observer of observers) observer.joined(connection, topic, isPrivate)
    },
    left: (connection, topic, isPrivate) => {
      for (const observer of observers) observer.left(connection, topic, isPrivate)
    },
    broadcast: (topic, receivers, bytes, message) => {
      for (const observer of observers) observer.broadcast(topic, receivers, bytes, message)
    },
    received: (bytes) => {
      for (const observer of observers) observer.received(bytes)
    },
    ...whereAsked(observers, 'fannedOut'),
    ...whereAsked(observers, 'storedFannedOut'),
    ...whereAsked(observers, 'authorized'),
    ...whereAsked(observers, 'changed'),
    ...whereAsked(observers, 'feedLag'),
  }
}

type Optional = 'fannedOut' | 'storedFannedOut' | 'authorized' | 'changed' | 'feedLag'

/** The method of all that have it, or nothing. */
function whereAsked<Name extends Optional>(observers: readonly Observer[], name: Name): Pick<Observer, Name> {
  type Told = Parameters<NonNullable<Observer[Name]>>[0]
  const asking = observers.filter((observer) => observer[name] !== undefined)
  if (asking.length === 0) return {} as Pick<Observer, Name>
  const tell = (told: Told): void => {
    for (const observer of asking) (observer as { [method in Name]: (told: Told) => void })[name](told)
  }
  return { [name]: tell } as Pick<Observer, Name>
}
