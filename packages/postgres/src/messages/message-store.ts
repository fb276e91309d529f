import type { MessageStore, StoredMessage } from '@tidewire/server'
import { databaseReason } from '../catalog/database-fault.ts'
import type { Queryable } from '../catalog/queryable.ts'

interface Row {
  readonly id: string
  readonly event: string | null
  readonly payload: string | null
  readonly binary_payload: Buffer | null
}

/** How far in the future a message may lie: clocks of servers differ. */
const REPLAY = `
  select id, event, payload::text as payload, binary_payload from realtime.messages
  where topic = $1 and private and extension = 'broadcast'
    and inserted_at >= to_timestamp($2::float8 / 1000) at time zone 'utc' and inserted_at < now() at time zone 'utc' + interval '1 minute'
  order by inserted_at desc, tableoid desc, ctid desc
  limit $3`

/** Replays private messages from `realtime.messages` (rules R1–R4); numbers keep the digits that the database has. */
export function databaseMessageStore(database: Queryable): MessageStore {
  return {
    replay: async (subTopic, sinceMs, limit) => {
      try {
        const { rows } = await database.query(REPLAY, [subTopic, sinceMs, limit])
        return { ok: true, messages: (rows as Row[]).toReversed().flatMap(storedMessage) }
      } catch (error) {
        const reason = databaseReason(error)
        return {
          ok: false,
          reason: reason.startsWith('Unable') ? 'UnableToReplayMessages: Realtime was unable to replay messages' : reason,
        }
      }
    },
  }
}

/** A row without event or payload is no message: an insert of the application's own. */
function storedMessage({ id, event, payload, binary_payload: binary }: Row): StoredMessage[] {
  if (event === null) return []
  if (binary !== null) return [{ id, event, encoding: 'binary', bytes: binary }]
  return payload === null ? [] : [{ id, event, encoding: 'json', bytes: Buffer.from(payload) }]
}
