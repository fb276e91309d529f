import { useSignal } from '@preact/signals'
import type { AdminTable } from '@tidewire/protocol'
import type { VNode } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Inspector } from '../../inspector.ts'
import { visibleText } from '../../stores/visible-text.ts'
import { tableOf, type WhyForm } from '../../stores/why-form.ts'
import { Field } from '../send/composer.tsx'

/** The server is asked for a table's key after a pause in typing of this length. */
const ASK_AFTER_MS = 250

/** The server's answer about a table. */
type Known = { readonly table: string; readonly answer: AdminTable } | { readonly table: string; readonly fault: string }

interface WhyRowProps {
  readonly inspector: Inspector
  readonly form: WhyForm
  readonly set: (change: Partial<WhyForm>) => void
}

/** A table, and one of its rows by the columns of its primary key, which the server names. */
export function WhyRow({ inspector, form, set }: WhyRowProps): VNode {
  const known = useSignal<Known | null>(null)
  const { table } = form
  useEffect(() => {
    const named = tableOf({ table })
    if (named === null) return
    let isAsked = true
    const timer = setTimeout(() => {
      inspector.request('admin_table', named).then(
        (answer) => isAsked && (known.value = { table, answer }),
        (error: Error) => isAsked && (known.value = { table, fault: error.message }),
      )
    }, ASK_AFTER_MS)
    return () => {
      isAsked = false
      clearTimeout(timer)
    }
  }, [table])

  return (
    <>
      <Field label="Table" value={table} change={(changed) => set({ table: changed })} placeholder="public.todos" isWide />
      <Key known={known.value?.table === table ? known.value : null} form={form} set={set} />
      <Field label="Filter" value={form.filter} change={(filter) => set({ filter })} placeholder="none: those of its channels" isWide />
    </>
  )
}

function Key({ known, form, set }: Pick<WhyRowProps, 'form' | 'set'> & { readonly known: Known | null }): VNode | null {
  if (known === null) return tableOf(form) === null ? null : <p class="hint quiet">Asking for the primary key…</p>
  if ('fault' in known) return <p class="hint bad">{visibleText(known.fault)}</p>
  const { primaryKey } = known.answer
  if (primaryKey.length === 0) return <p class="hint quiet">This table has no primary key.</p>
  return (
    <fieldset class="key-columns">
      <legend>Row</legend>
      {primaryKey.map(({ name, type }) => (
        <Field
          key={name}
          label={visibleText(name)}
          value={form.row.get(name) ?? ''}
          change={(value) => set({ row: new Map([...form.row, [name, value]]) })}
          placeholder={visibleText(type)}
          isWide
        />
      ))}
    </fieldset>
  )
}
