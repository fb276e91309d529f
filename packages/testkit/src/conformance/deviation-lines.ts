import type { ChangesFaultCode } from '@tidewire/protocol'
import type { Change, Deviation } from '../player/deviations.ts'

/** A message that SQL sent, by default its id alone. The database makes the id: `number` distinguishes them. */
export function sentBySql(payload: string | null, number: number, event = 'ev', topic = 'room:db'): string {
  const id = `b6b9d2cb-0000-4000-8000-00000000000${number}`
  return `{"ref":null,"event":"broadcast","payload":{"event":"${event}","meta":{"id":"${id}"},"payload":${payload ?? `{"id":"${id}"}`},"type":"broadcast"},"topic":"realtime:${topic}"}`
}

type Lines = Readonly<Record<string, readonly (readonly [line: Deviation['line'], change: Change])[]>>

export function because(rule: string, reason: string, lines: Lines): Deviation[] {
  return Object.entries(lines).flatMap(([recording, changes]) =>
    changes.map(([line, change]) => ({ recording, line, rule, reason, change })),
  )
}

type Answer = Omit<Extract<Change, { readonly kind: 'response' }>, 'kind'>

export function answered(line: number, change: Answer): [number, Change] {
  return [line, { kind: 'response', ...change }]
}

/** The line of a `system` error, which has a code and a hint beside its message. */
export function coded(line: number, code: ChangesFaultCode, hint: string): [number, Change] {
  return [line, { kind: 'extended', payload: { code, hint } }]
}

export function missingTable(name: string): string {
  return `There is no table ${name} that this role may read: check the name, create it, or grant SELECT on it.`
}

export function schemaWarning(channel: string): string {
  const payload = {
    channel,
    code: 'not-allowed' satisfies ChangesFaultCode,
    extension: 'postgres_changes',
    hint: 'grant usage on schema private_schema to authenticated;',
    live: true,
    message: 'Changes of private_schema.things are withheld: your role may not use the schema',
    status: 'error',
  }
  return JSON.stringify({ event: 'system', payload, ref: null, topic: `realtime:${channel}` })
}

/** The line of a frame that cannot be read, with the answer to its sender. */
export function unreadable(line: number, detail: string, version: '1.0.0' | '2.0.0' = '1.0.0', client = 'A'): [number, Change] {
  return [line, { kind: 'also', client, frames: [malformed(detail, version)] }]
}

function malformed(detail: string, version: '1.0.0' | '2.0.0'): string {
  const payload = { message: `MalformedWebSocketMessage: ${detail}`, status: 'error', extension: 'system' }
  return JSON.stringify(
    version === '2.0.0' ? [null, null, 'phoenix', 'system', payload] : { ref: null, event: 'system', payload, topic: 'phoenix' },
  )
}

export function errorReply(ref: string, topic: string, reason: string): string {
  return JSON.stringify({ ref, event: 'phx_reply', payload: { status: 'error', response: { reason } }, topic })
}

export function refusal(frame: string, reason: string): Change {
  return { kind: 'instead', frame: frame.replace('PAYLOAD', () => JSON.stringify({ status: 'error', response: { reason } })) }
}

export function notAllowed(what: string, subTopic: string): string {
  return `Unauthorized: You do not have permissions to ${what} this Channel topic: ${subTopic}`
}
