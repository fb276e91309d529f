import { useSignal } from '@preact/signals'
import type { AdminSqlResult } from '@tidewire/protocol'
import type { VNode } from 'preact'
import type { Inspector } from '../../inspector.ts'
import { count, milliseconds } from '../../stores/format.ts'
import { cutText, visibleText } from '../../stores/visible-text.ts'

const CELL_CHARACTERS = 200

type Outcome = { readonly result: AdminSqlResult } | { readonly fault: string }

/** SQL on the database of the project, with its result. */
export function SqlComposer({ inspector }: { readonly inspector: Inspector }): VNode {
  const sql = useSignal('select * from todos limit 20')
  const isRunning = useSignal(false)
  const outcome = useSignal<Outcome | null>(null)
  const run = async (): Promise<void> => {
    if (isRunning.value || sql.value.trim() === '') return
    isRunning.value = true
    try {
      outcome.value = { result: await inspector.request('admin_sql', { sql: sql.value }) }
    } catch (error) {
      outcome.value = { fault: (error as Error).message }
    }
    isRunning.value = false
  }
  const pressed = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
    event.preventDefault()
    void run()
  }
  return (
    <form
      class="fields sql"
      onSubmit={(event) => {
        event.preventDefault()
        void run()
      }}
    >
      <span class="quiet hint">Ctrl+Enter runs it, on the project’s own database, as a login that is not a superuser.</span>
      <textarea
        id="composer"
        class="mono"
        aria-label="SQL"
        rows={3}
        spellcheck={false}
        value={sql.value}
        onInput={(event) => (sql.value = event.currentTarget.value)}
        onKeyDown={pressed}
      />
      <button class="primary" aria-disabled={isRunning.value}>
        Run
      </button>
      {outcome.value !== null && <SqlOutcome outcome={outcome.value} />}
    </form>
  )
}

function SqlOutcome({ outcome }: { readonly outcome: Outcome }): VNode {
  if ('fault' in outcome)
    return (
      <p class="answer bad" role="status">
        {visibleText(outcome.fault, true)}
      </p>
    )
  const { columns, rows, moreRows, command, tookMs } = outcome.result
  return (
    <>
      <p class="answer" role="status">
        {command} · {count(rows.length + moreRows)} {rows.length + moreRows === 1 ? 'row' : 'rows'} · {milliseconds(tookMs)}
        {moreRows > 0 && ` · ${count(moreRows)} more are not shown`}
      </p>
      {columns.length > 0 && (
        <div class="result" tabIndex={0} role="region" aria-label="Rows">
          <table class="mono">
            <thead>
              <tr>
                {columns.map((column, index) => (
                  <th key={index}>{visibleText(column)}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row, index) => (
                <tr key={index}>
                  {row.map((value, column) => (
                    <td key={column} class={value === null ? 'quiet' : ''}>
                      {value === null ? 'null' : visibleText(cutText(value, CELL_CHARACTERS).text)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  )
}
