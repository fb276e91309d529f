import { useSignal } from '@preact/signals'
import type { VNode } from 'preact'

/** Copies a text, and says so on itself. `text` is made when it is wanted. */
export function CopyButton({ label, text }: { readonly label: string; readonly text: () => string }): VNode {
  const done = useSignal<'' | 'Copied' | 'Not allowed'>('')
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text())
      done.value = 'Copied'
    } catch {
      done.value = 'Not allowed'
    }
    setTimeout(() => (done.value = ''), 1_500)
  }
  return (
    <button class="quiet-button" onClick={() => void copy()}>
      <span aria-live="polite">{done.value === '' ? label : done.value}</span>
    </button>
  )
}
