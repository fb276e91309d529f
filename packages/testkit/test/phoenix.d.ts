/** What the tests use of the npm package `phoenix`, which ships no types. */
declare module 'phoenix' {
  export interface Push {
    receive(status: 'ok' | 'error' | 'timeout', callback: (response: unknown) => void): Push
  }

  export interface Channel {
    join(): Push
    leave(): Push
    push(event: string, payload: object): Push
    on(event: string, callback: (payload: unknown) => void): number
    onClose(callback: () => void): number
  }

  export class Socket {
    constructor(endpoint: string, options: { readonly params: object; readonly transport: unknown; readonly vsn: string })
    connect(): void
    disconnect(): void
    channel(topic: string, params: object): Channel
  }

  export class Presence {
    constructor(channel: Channel)
    onSync(callback: () => void): void
    list<T>(choose: (key: string, presence: { readonly metas: readonly unknown[] }) => T): T[]
  }
}
