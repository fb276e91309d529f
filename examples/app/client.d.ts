import type { RealtimeClient } from '@tidewire/client'

export interface Session {
  readonly name: string
  readonly client: RealtimeClient
  readonly ask: <Row = object>(query: string, ...values: readonly unknown[]) => Promise<Row[]>
}

export function signIn(name: string): Promise<Session>
export function nameInAddress(): string
