import {
  recordWriter,
  openChangeSource,
  type ChangeSource,
  type ChangeSourceStatus,
  type NewEpoch,
  type OpenChangeSourceOptions,
  type RowChange,
} from '../src/index.ts'

type CollectOptions = Partial<Omit<OpenChangeSourceOptions, 'connection' | 'handlers'>> & {
  /** Confirm all progress at once. Default true. */
  readonly confirm?: boolean
  /** Keep the changes. Default true. */
  readonly keep?: boolean
  readonly onBatch?: (changes: readonly RowChange[]) => void
}

/** A change source and everything it said. */
export interface FeedCollector {
  readonly source: ChangeSource
  readonly changes: RowChange[]
  readonly epochs: NewEpoch[]
  readonly statuses: ChangeSourceStatus[]
  /** Resolves when the condition holds, asked after everything that is heard; rejects after the deadline. */
  until(condition: () => boolean, deadlineMs?: number): Promise<void>
  streaming(): Promise<void>
  close(): Promise<void>
}

export function collectFeed(connection: string, options: CollectOptions = {}): FeedCollector {
  const { confirm = true, keep = true, onBatch, ...rest } = options
  const changes: RowChange[] = []
  const epochs: NewEpoch[] = []
  const statuses: ChangeSourceStatus[] = []
  const waiting = new Set<() => void>()
  const heard = (): void => {
    for (const look of waiting) look()
  }
  const source = openChangeSource({
    connection,
    publications: [{ name: 'feed' }],
    reportDelayMs: 20,
    ...rest,
    handlers: {
      onChanges: (batch) => {
        if (keep) changes.push(...batch)
        onBatch?.(batch)
        heard()
      },
      onEpoch: (event) => {
        epochs.push(event)
        heard()
      },
      onStatus: (status) => {
        statuses.push(status)
        heard()
      },
      onProgress: (lsn) => {
        if (confirm) source.confirm(source.epoch!, lsn)
        heard()
      },
    },
  })
  const until = (condition: () => boolean, deadlineMs = 15_000): Promise<void> =>
    new Promise((done, fail) => {
      const timer = setTimeout(() => {
        waiting.delete(look)
        fail(
          new Error(
            `not so within ${deadlineMs} ms: ${condition.toString()}; status ${JSON.stringify(source.status)}, ${changes.length} changes`,
          ),
        )
      }, deadlineMs)
      const look = (): void => {
        if (!condition()) return
        clearTimeout(timer)
        waiting.delete(look)
        done()
      }
      waiting.add(look)
      look()
    })
  return {
    source,
    changes,
    epochs,
    statuses,
    until,
    streaming: () => until(() => source.status.kind === 'streaming'),
    close: () => source.close(),
  }
}

/** `INSERT {"id": 1}`: the new row, or of a delete the old one. */
export function describeChange({ action, table, newTuple, old }: RowChange): string {
  const tuple = newTuple ?? old?.tuple
  return tuple === undefined
    ? action
    : `${action} ${recordWriter(table.columns)(tuple, { old: old?.extent === 'full' ? old.tuple : null })}`
}
