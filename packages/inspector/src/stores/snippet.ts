import type { AdminLogRow } from '@tidewire/protocol'

/** A name in a snippet: text from outside, quoted so that it cannot be anything but a string. */
function quoted(text: string): string {
  return JSON.stringify(text)
    .replace(/[\u007f-\uffff]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/^"(.*)"$/, (_, inner: string) => `'${inner.replaceAll('\\"', '"').replaceAll("'", "\\'")}'`)
}

/** Payloads are repeated up to this length. */
const LONGEST_PAYLOAD = 2_000

/** TypeScript that would receive this row, and send it where a client may. `url` is that of the server, as clients give it. */
export function snippet(row: AdminLogRow, url: string): string {
  const topic = row.topic ?? 'lobby'
  const options = row.private === true ? ', { config: { private: true } }' : ''
  const head = [
    "import { RealtimeClient } from '@tidewire/client'",
    '',
    `const client = new RealtimeClient(${quoted(url)}, { apikey: ANON_KEY })`,
    `const channel = client.channel(${quoted(topic)}${options})`,
  ]
  return [...head, ...body(row), ''].join('\n')
}

function body(row: AdminLogRow): readonly string[] {
  const event = row.event ?? ''
  switch (row.kind) {
    case 'broadcast':
      return [
        `channel.onBroadcast(${quoted(event)}, ({ payload }) => console.log(payload))`,
        'channel.subscribe((status) => {',
        `  if (status === 'SUBSCRIBED') void channel.sendBroadcast(${quoted(event)}, ${payloadOf(row)})`,
        '})',
      ]
    case 'presence':
      return [
        'channel.onPresenceSync(() => console.log(channel.presenceState()))',
        'channel.subscribe((status) => {',
        event === 'untrack'
          ? "  if (status === 'SUBSCRIBED') void channel.untrack()"
          : `  if (status === 'SUBSCRIBED') void channel.track(${payloadOf(row)})`,
        '})',
      ]
    case 'change':
      return [`channel.onPostgresChanges(${quoted(event)}, ${tableOf(row)}, (change) => console.log(change))`, 'channel.subscribe()']
    default:
      return ['channel.subscribe((status, error) => console.log(status, error))']
  }
}

function tableOf({ payload, detail }: AdminLogRow): string {
  const found = parsed(payload) as { schema?: unknown; table?: unknown } | undefined
  const named = /^"?([\w$]+)"?\."?([\w$]+)"?/.exec(detail ?? '')
  const schema = typeof found?.schema === 'string' ? found.schema : (named?.[1] ?? 'public')
  const table = typeof found?.table === 'string' ? found.table : (named?.[2] ?? '*')
  return `{ schema: ${quoted(schema)}, table: ${quoted(table)} }`
}

/** A JSON value is an expression of TypeScript; one that was cut is not. */
function payloadOf({ payload }: AdminLogRow): string {
  const value = carried(parsed(payload))
  if (value === undefined || payload!.length > LONGEST_PAYLOAD) return '{ /* … */ }'
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The log shows broadcasts as they are on the wire, with their event around them. */
function carried(value: unknown): unknown {
  const { type, payload } = (value ?? {}) as { readonly type?: unknown; readonly payload?: unknown }
  return (type === 'broadcast' || type === 'presence') && payload !== undefined ? payload : value
}

function parsed(text: string | undefined): unknown {
  if (text === undefined || text.length > LONGEST_PAYLOAD) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
