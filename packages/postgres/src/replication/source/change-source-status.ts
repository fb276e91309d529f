import type { ChangeSourceStatus } from './change-source-api.ts'
import type { ReplicationState } from './replication-state.ts'

/** What a consumer gets of the machine's state; `slot` is the name of the one that is read. */
export function statusOf(state: ReplicationState, slot: string): ChangeSourceStatus {
  switch (state.kind) {
    case 'connecting':
      return { kind: 'connecting' }
    case 'streaming':
      return { kind: 'streaming', slot }
    case 'waiting':
      return { kind: 'waiting', fault: state.fault }
    case 'closed':
      return { kind: 'closed' }
  }
}

/** Whether there is nothing new to report. Another fault is news, though the source waits as before. */
export function isSameStatus(one: ChangeSourceStatus, other: ChangeSourceStatus): boolean {
  return one.kind === other.kind && (one.kind !== 'waiting' || other.kind !== 'waiting' || one.fault === other.fault)
}
