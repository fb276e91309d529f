import { signal, type ReadonlySignal, type Signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'

const STORED = 'tidewire-theme'
const THEMES: readonly Theme[] = ['system', 'light', 'dark']
const chosen: Signal<Theme> = signal(stored())

export const theme: ReadonlySignal<Theme> = chosen

export function applyTheme(): void {
  document.documentElement.style.colorScheme = chosen.value === 'system' ? 'light dark' : chosen.value
}

/** The system's choice, then light, then dark, then the system's again. */
export function nextTheme(): void {
  chosen.value = THEMES[(THEMES.indexOf(chosen.value) + 1) % THEMES.length]!
  localStorage.setItem(STORED, chosen.value)
  applyTheme()
}

function stored(): Theme {
  const found = localStorage.getItem(STORED) as Theme | null
  return found !== null && THEMES.includes(found) ? found : 'system'
}
