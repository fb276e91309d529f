import { traceparentOf } from '@tidewire/protocol'
import type { StoredPublish } from '@tidewire/server'
import type { RowChange } from '../replication/transaction-assembler.ts'

/**
 * The broadcast that a row of `realtime.messages` is, wherever it came from (rule B8). `null` for a row that is none: an
 * update or delete (retention), or one without event, topic, id or payload. `log` names the log that it stands in.
 */
export function storedMessage(change: RowChange, log: string | null): StoredPublish | null {
  if (change.action !== 'INSERT' || change.newTuple === null) return null
  const { newTuple, table, transaction } = change
  const text = (name: string): string | null => {
    const at = table.columns.find((column) => column.name === name)?.tupleIndex ?? null
    return at === null ? null : (newTuple.text(at) ?? null)
  }
  const [topic, event, id, binary, payload] = [text('topic'), text('event'), text('id'), text('binary_payload'), text('payload')]
  if (topic === null || event === null || id === null) return null
  const bytes = binary === null ? payload && Buffer.from(payload) : Buffer.from(binary.slice('\\x'.length), 'hex')
  if (bytes === null || bytes === '') return null
  return {
    subTopic: topic,
    private: text('private') === 't',
    event,
    id,
    form: 'user',
    payload: { encoding: binary === null ? 'json' : 'binary', bytes },
    traceparent: binary === null ? traceIn(bytes) : null,
    committedAt: Number(transaction.commitTime) / 1_000,
    ...(log === null ? {} : { commit: { log, lsn: transaction.commitLsn, xid: transaction.xid } }),
  }
}

/** The trace that a payload names (rule B9). Most name none, and are not parsed. */
function traceIn(json: Buffer): string | null {
  if (!json.includes('"traceparent"')) return null
  try {
    return traceparentOf(JSON.parse(json.toString()))
  } catch {
    // The application made the column itself: it is not of type jsonb.
    return null
  }
}
