import { useSignal } from '@preact/signals'
import { parseTopicKey } from '@tidewire/protocol'
import type { VNode } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import type { Inspector } from '../../inspector.ts'
import { Sender, type Sent } from '../../link/sender.ts'
import { visibleText } from '../../stores/visible-text.ts'
import { SqlComposer } from './sql-composer.tsx'

type Mode = 'broadcast' | 'presence' | 'sql'

interface ComposerProps {
  readonly inspector: Inspector
  readonly endpoint: string
  /** A key of applications; `null` asks for one. */
  readonly anonKey: string | null
}

/** Sends messages and SQL, so that there is something to see. */
export function Composer({ inspector, endpoint, anonKey }: ComposerProps): VNode {
  const mode = useSignal<Mode>('broadcast')
  const canSql = inspector.welcome.value?.sql === true
  const modes: readonly (readonly [Mode, string])[] = [
    ['broadcast', 'Broadcast'],
    ['presence', 'Presence'],
    ...(canSql ? ([['sql', 'SQL']] as const) : []),
  ]
  return (
    <section class="composer" aria-label="Send">
      <div class="switch" role="group" aria-label="What to send">
        {modes.map(([name, label]) => (
          <button key={name} aria-pressed={mode.value === name} onClick={() => (mode.value = name)}>
            {label}
          </button>
        ))}
      </div>
      {mode.value === 'sql' && canSql ? (
        <SqlComposer inspector={inspector} />
      ) : (
        <MessageComposer inspector={inspector} endpoint={endpoint} anonKey={anonKey} isPresence={mode.value === 'presence'} />
      )}
    </section>
  )
}

function MessageComposer({ inspector, endpoint, anonKey, isPresence }: ComposerProps & { readonly isPresence: boolean }): VNode {
  const typedKey = useSignal('')
  const topic = useSignal('lobby')
  const isPrivate = useSignal(false)
  const event = useSignal('hello')
  const payload = useSignal('{"text": "hello"}')
  const sent = useSignal<Sent | null>(null)
  const key = anonKey ?? typedKey.value.trim()
  const sender = useMemo(() => (key === '' ? null : new Sender(endpoint, key)), [endpoint, key])
  useEffect(() => () => sender?.close(), [sender])

  const chosen = inspector.topic.value
  useEffect(() => {
    if (chosen === null) return
    const chosenTopic = parseTopicKey(chosen)
    topic.value = chosenTopic.name
    isPrivate.value = chosenTopic.private
  }, [chosen])

  const submit = async (submitted: Event): Promise<void> => {
    submitted.preventDefault()
    const body = jsonObject(payload.value)
    if (sender === null) sent.value = { ok: false, text: 'A key of applications is needed, such as the anon key.' }
    else if (topic.value.trim() === '') sent.value = { ok: false, text: 'To which topic? Type its name.' }
    else if (body === null) sent.value = { ok: false, text: 'The payload is not a JSON object, like {"text": "hello"}.' }
    else if (isPresence) sent.value = await sender.track(topic.value.trim(), isPrivate.value, body)
    else sent.value = await sender.broadcast(topic.value.trim(), isPrivate.value, event.value.trim(), body)
  }
  const takeBack = async (): Promise<void> => void (sent.value = (await sender?.untrack()) ?? null)

  return (
    <form class="fields" onSubmit={(submitted) => void submit(submitted)}>
      {anonKey === null && (
        <Field label="Key" value={typedKey.value} change={(value) => (typedKey.value = value)} isSecret placeholder="anon key" />
      )}
      <Field id="composer" label="Topic" value={topic.value} change={(value) => (topic.value = value)} />
      {!isPresence && <Field label="Event" value={event.value} change={(value) => (event.value = value)} />}
      <Field label={isPresence ? 'Meta' : 'Payload'} value={payload.value} change={(value) => (payload.value = value)} isWide />
      <label class="check">
        <input type="checkbox" checked={isPrivate.value} onChange={(changed) => (isPrivate.value = changed.currentTarget.checked)} />
        private
      </label>
      <button class="primary">{isPresence ? 'Track' : 'Send'}</button>
      {isPresence && (
        <button type="button" class="quiet-button" onClick={() => void takeBack()}>
          Untrack
        </button>
      )}
      <span class={sent.value?.ok === false ? 'answer bad' : 'answer'} role="status">
        {sent.value === null ? '' : visibleText(sent.value.text)}
      </span>
    </form>
  )
}

interface FieldProps {
  readonly id?: string
  readonly label: string
  readonly value: string
  readonly isSecret?: boolean
  readonly placeholder?: string
  readonly isWide?: boolean
  readonly change: (value: string) => void
}

export function Field({ id, label, value, change, isSecret = false, placeholder = '', isWide = false }: FieldProps): VNode {
  return (
    <label class={isWide ? 'field wide' : 'field'}>
      <span>{label}</span>
      <input
        id={id}
        class="mono"
        {...(isSecret ? { type: 'password' as const } : {})}
        autocomplete="off"
        spellcheck={false}
        placeholder={placeholder}
        value={value}
        onInput={(event) => change(event.currentTarget.value)}
      />
    </label>
  )
}

function jsonObject(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
