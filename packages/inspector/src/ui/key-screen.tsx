import { useSignal } from '@preact/signals'
import type { VNode } from 'preact'
import type { Explained } from '../stores/refusal.ts'
import { visibleText } from '../stores/visible-text.ts'

interface KeyScreenProps {
  readonly explained: Explained
  readonly asksForKey: boolean
  readonly enterWith: (key: string) => void
}

/** Replaces the page while it has no key: the reason, and what to do. */
export function KeyScreen({ explained, asksForKey, enterWith }: KeyScreenProps): VNode {
  const key = useSignal('')
  const submit = (event: Event): void => {
    event.preventDefault()
    if (key.value.trim() !== '') enterWith(key.value.trim())
  }
  return (
    <main class="screen">
      <p class="brand">Tidewire</p>
      <h1>{explained.title}</h1>
      <p role="alert" class="reason">
        {visibleText(explained.reason)}
      </p>
      <p>{explained.remedy}</p>
      {asksForKey && (
        <form onSubmit={submit}>
          <input
            type="password"
            aria-label="Admin key"
            placeholder="Admin key"
            autocomplete="off"
            spellcheck={false}
            autofocus
            value={key.value}
            onInput={(event) => (key.value = event.currentTarget.value)}
          />
          <button class="primary">Open</button>
        </form>
      )}
      {!asksForKey && (
        <button class="primary" onClick={() => location.reload()}>
          Load again
        </button>
      )}
    </main>
  )
}
