import { useSignal } from '@preact/signals'
import type { WhyAnswer, WhyStep } from '@tidewire/protocol'
import type { VNode } from 'preact'
import type { Inspector } from '../../inspector.ts'
import { nameOf } from '../../stores/connection-list.ts'
import { dateTime, fromNow } from '../../stores/format.ts'
import { visibleText } from '../../stores/visible-text.ts'
import { parseWhy, tableOf, type WhyForm } from '../../stores/why-form.ts'
import { Field } from '../send/composer.tsx'
import { CopyButton } from '../browser/copy-button.tsx'
import { WhyRow } from './why-row.tsx'

type Outcome = { readonly answer: WhyAnswer } | { readonly fault: string }

/** The panel that asks why a user gets a message or a row, or does not. */
export function Why({ inspector }: { readonly inspector: Inspector }): VNode {
  const form = inspector.why.value
  const answered = useSignal<{ readonly form: WhyForm; readonly outcome: Outcome } | null>(null)
  // The form has changed since: the answer belongs to another question.
  const outcome = answered.value?.form === form ? answered.value.outcome : null
  const isAsking = useSignal(false)
  const set = (change: Partial<WhyForm>): void => void (inspector.why.value = { ...inspector.why.value, ...change })

  const ask = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (isAsking.value) return
    isAsking.value = true
    const asked = inspector.why.value
    answered.value = { form: asked, outcome: await answerTo(inspector, asked) }
    isAsking.value = false
  }

  return (
    <>
      <form class="why-form" onSubmit={(event) => void ask(event)}>
        <div class="switch" role="group" aria-label="What is asked about">
          <button type="button" aria-pressed={form.about === 'topic'} onClick={() => set({ about: 'topic' })}>
            May they join a topic
          </button>
          <button type="button" aria-pressed={form.about === 'change'} onClick={() => set({ about: 'change' })}>
            Do they get a row change
          </button>
        </div>
        <User inspector={inspector} form={form} set={set} />
        {form.about === 'topic' ? (
          <>
            <Field label="Topic" value={form.topic} change={(topic) => set({ topic })} placeholder="room:1" isWide />
            <label class="check">
              <input type="checkbox" checked={form.private} onChange={(event) => set({ private: event.currentTarget.checked })} />
              private
            </label>
          </>
        ) : (
          <WhyRow inspector={inspector} form={form} set={set} />
        )}
        <button class="primary" aria-disabled={isAsking.value}>
          {isAsking.value ? 'Asking…' : 'Why?'}
        </button>
      </form>
      <div aria-live="polite">{outcome !== null && <Answer outcome={outcome} inspector={inspector} />}</div>
    </>
  )
}

async function answerTo(inspector: Inspector, form: WhyForm): Promise<Outcome> {
  try {
    const table = form.about === 'change' ? tableOf(form) : null
    // The table's key may have changed since it was asked for during typing.
    const { primaryKey } = table === null ? { primaryKey: [] } : await inspector.request('admin_table', table)
    const parsed = parseWhy(form, primaryKey)
    return parsed.ok ? { answer: await inspector.request('admin_why', parsed.question) } : { fault: parsed.fault }
  } catch (error) {
    return { fault: (error as Error).message }
  }
}

interface UserProps {
  readonly inspector: Inspector
  readonly form: WhyForm
  readonly set: (change: Partial<WhyForm>) => void
}

function User({ inspector, form, set }: UserProps): VNode {
  const open = inspector.connections.open.value.slice(0, 200)
  const isGone = form.connection !== '' && !open.some(({ id }) => id === form.connection)
  return (
    <>
      <label class="field wide">
        <span>User</span>
        <select value={form.connection} onChange={(event) => set({ connection: event.currentTarget.value })}>
          <option value="">A role with claims</option>
          {isGone && <option value={form.connection}>{visibleText(form.connection)} (gone)</option>}
          {open.map((connection) => (
            <option key={connection.id} value={connection.id}>
              {visibleText(nameOf(connection))} · {visibleText(connection.id)}
            </option>
          ))}
        </select>
      </label>
      {form.connection === '' && (
        <>
          <Field label="Role" value={form.role} change={(role) => set({ role })} isWide />
          <Field label="Claims" value={form.claims} change={(claims) => set({ claims })} isWide />
        </>
      )}
    </>
  )
}

function Answer({ outcome, inspector }: { readonly outcome: Outcome; readonly inspector: Inspector }): VNode {
  if ('fault' in outcome) return <p class="answer bad">{visibleText(outcome.fault)}</p>
  const { verdict, allowed, steps } = outcome.answer
  const decided = steps.findIndex(({ outcome: each }) => each === 'no')
  return (
    <section class="verdict" aria-label="Answer">
      <p class={allowed ? 'allowed' : 'refused'}>
        <b>{allowed ? 'Yes' : 'No'}</b> {visibleText(verdict)}
      </p>
      <ol class="steps">
        {steps.map((step, index) => (
          <Step key={index} step={step} isDeciding={index === decided} inspector={inspector} />
        ))}
      </ol>
    </section>
  )
}

const MARKS = { yes: '✓', no: '✕', unknown: '?' } as const
const SPOKEN = { yes: 'passed', no: 'refused', unknown: 'not known' } as const

interface StepProps {
  readonly step: WhyStep
  readonly isDeciding: boolean
  readonly inspector: Inspector
}

function Step({ step: { check, outcome, text, at, sql }, isDeciding, inspector }: StepProps): VNode {
  return (
    <li class={isDeciding ? `step ${outcome} deciding` : `step ${outcome}`}>
      <span class="mark" role="img" aria-label={SPOKEN[outcome]}>
        {MARKS[outcome]}
      </span>
      <div>
        <p>
          <span class="check-name">{check}</span> {visibleText(text)}
        </p>
        {at !== undefined && <When at={at} isExpiry={check === 'token'} wasGood={outcome === 'yes'} inspector={inspector} />}
        {sql !== undefined && (
          <div class="sql-to-try">
            <pre class="mono">{visibleText(sql, true)}</pre>
            <CopyButton inspector={inspector} label="Copy SQL" text={() => sql} said="The SQL is copied." />
          </div>
        )}
      </div>
    </li>
  )
}

interface WhenProps {
  readonly at: number
  readonly isExpiry: boolean
  /** When the question was answered. */
  readonly wasGood: boolean
  readonly inspector: Inspector
}

/** By the server's clock, as it goes on. Screen readers announce it with the answer, and not at every tick. */
function When({ at, isExpiry, wasGood, inspector }: WhenProps): VNode {
  const now = inspector.figures.last.value?.at ?? Date.now()
  const isOver = isExpiry && at <= now
  const what = !isExpiry ? '' : !isOver ? 'Expires ' : wasGood ? 'Has expired since, ' : 'Expired '
  return (
    <p class={isOver ? 'bad' : 'quiet'} aria-live="off">
      {what}
      <time dateTime={new Date(at).toISOString()}>{dateTime(at)}</time> ({fromNow(at, now)})
    </p>
  )
}
