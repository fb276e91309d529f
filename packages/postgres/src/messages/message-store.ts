import type { MessageStore, StoredMessage } from '@tidewire/server'
import { databaseReason } from '../catalog/database-fault.ts'
import type { Sessions } from '../catalog/queryable.ts'
import { clusterOf, END_POSITION, positionOf, withSnapshot } from './join-position.ts'

/** All columns but the first two are NULL in the one row of an empty answer. */
interface Row {
  readonly snapshot: string
  readonly position: string | null
  readonly id: string
  readonly event: string | null
  readonly payload: string | null
  readonly binary_payload: Buffer | null
}

/** The last minute is how far in the future a message may lie: clocks of servers differ. */
const REPLAY = `
  select s.snapshot, s.position, m.id, m.event, m.payload, m.binary_payload
  from (select pg_catalog.pg_current_snapshot()::text as snapshot, ${END_POSITION} as position) s left join (
  select id, event, payload::text as payload, binary_payload, inserted_at, tableoid as part, ctid as place from realtime.messages
  where topic = $1 and private and extension = 'broadcast'
    and inserted_at >= to_timestamp($2::float8 / 1000) at time zone 'utc' and inserted_at < now() at time zone 'utc' + interval '1 minute'
  order by inserted_at desc, tableoid desc, ctid desc
  limit $3) m on true
  order by m.inserted_at, m.part, m.place`

/** Replays private messages from `realtime.messages` (rules R1–R4); numbers keep the digits that the database has. */
export function databaseMessageStore(sessions: Sessions): MessageStore {
  return {
    replay: async (subTopic, sinceMs, limit) => {
      try {
        return await sessions.withSession(async (session) => {
          const cluster = await clusterOf(session, (text) => session.query(text))
          const rows = (await session.query(REPLAY, [subTopic, sinceMs, limit])).rows as Row[]
          const { position, snapshot } = rows[0]!
          const end = positionOf(cluster, position)
          return { ok: true, messages: rows.flatMap(storedMessage), position: end === null ? null : withSnapshot(end, snapshot) }
        })
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
