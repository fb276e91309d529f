import type { Inspector } from '../inspector.ts'
import { snippet } from '../stores/snippet.ts'
import { COPIED_AS_CODE, copy } from './browser/copy.ts'
import { TABS } from './side/side.tsx'

export interface KeyboardOptions {
  readonly inspector: Inspector
  readonly endpoint: string
  readonly showShortcuts: () => void
}

/** The shortcuts of the page. Returns the function that removes them. */
export function listenToKeys({ inspector, endpoint, showShortcuts }: KeyboardOptions): () => void {
  const pressed = (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement
    if (event.key === 'Escape') return escape(inspector, target)
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(target) || document.querySelector('dialog[open]') !== null) return
    const tab = TABS[Number(event.key) - 1]
    if (tab !== undefined) {
      inspector.showTab(tab[0])
      requestAnimationFrame(() => document.getElementById(`tab-${tab[0]}`)?.focus())
    } else if (event.key === '/') go(inspector, 'log', 'log-filter')
    else if (event.key === 't') go(inspector, 'topics', 'topic-filter')
    else if (event.key === 'l') go(inspector, 'log', 'log')
    else if (event.key === 'c') go(inspector, 'log', 'composer')
    else if (event.key === 'p') inspector.log.pause(!inspector.log.isPaused.value)
    else if (event.key === '?') showShortcuts()
    else if (event.key === 'y' && inspector.entry.value?.row !== undefined)
      void copy(inspector, snippet(inspector.entry.value.row, endpoint), COPIED_AS_CODE)
    else if (event.key === 'y') inspector.notify('Choose a row of the log; then y copies it as code.')
    else return
    event.preventDefault()
  }
  addEventListener('keydown', pressed)
  return () => removeEventListener('keydown', pressed)
}

/** The part may have to be shown first, where only one fits. */
function go(inspector: Inspector, pane: Inspector['pane']['value'], id: string): void {
  inspector.pane.value = pane
  requestAnimationFrame(() => document.getElementById(id)?.focus())
}

/** Leaves a field, else closes the chosen row; focus goes to the log where it was in what closes. */
function escape(inspector: Inspector, target: HTMLElement): void {
  if (isTyping(target)) return target.blur()
  inspector.entry.value = null
  if (target.closest('.detail') !== null) document.getElementById('log')?.focus()
}

function isTyping(target: HTMLElement): boolean {
  if (target instanceof HTMLInputElement) return target.type !== 'checkbox'
  return ['TEXTAREA', 'SELECT'].includes(target.tagName)
}
