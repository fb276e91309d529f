import { createClient, type RealtimeChannel, type SupabaseClient } from '@supabase/supabase-js'
import type { WebSocketLikeConstructor } from '@supabase/realtime-js'
import { afterEach } from 'vitest'
import { WebSocket } from 'ws'
import type { RunningNode } from '../src/sockets/running-node.ts'

const transport = WebSocket as unknown as WebSocketLikeConstructor

/** Unmodified Supabase clients of the tests of one file; disconnected after each test. */
export class SupabaseClients {
  readonly #clients: SupabaseClient[] = []

  constructor() {
    afterEach(async () => {
      for (const client of this.#clients.splice(0)) {
        await client.removeAllChannels()
        await client.realtime.disconnect()
      }
    })
  }

  /** A client of the user `sub`. `url`: where it connects; the node signs its tokens. */
  signedIn(url: string, node: Pick<RunningNode, 'anonKey' | 'token'>, sub: string): SupabaseClient {
    const client = createClient(url, node.anonKey, {
      realtime: { transport },
      accessToken: () => Promise.resolve(node.token({ role: 'authenticated', sub })),
    })
    this.#clients.push(client)
    return client
  }
}

/** What a channel with row changes hears when they are live. */
export const LIVE = 'Subscribed to PostgreSQL'

/** Subscribes; with row changes, resolves when they are live. */
export function subscribed(channel: RealtimeChannel, changes = false): Promise<string> {
  return new Promise((resolve) => {
    if (changes) channel.on('system', {}, ({ extension, message }) => extension === 'postgres_changes' && resolve(String(message)))
    channel.subscribe((status, error) => {
      if (error !== undefined) resolve(`${status}: ${error.message}`)
      else if (!changes) resolve(status)
    })
  })
}
