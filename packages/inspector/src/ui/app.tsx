import { useSignal } from '@preact/signals'
import type { VNode } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Inspector, Pane } from '../inspector.ts'
import { Composer } from './send/composer.tsx'
import { Demo, hasSeenDemo, rememberDemo } from './demo.tsx'
import { listenToKeys } from './keyboard.ts'
import { LogDetail } from './log/log-detail.tsx'
import { LogList } from './log/log-list.tsx'
import { LogToolbar } from './log/log-toolbar.tsx'
import { Notice } from './notice.tsx'
import { Shortcuts } from './shortcuts.tsx'
import { Side } from './side/side.tsx'
import { TopBar } from './top-bar.tsx'
import { Topics } from './topics.tsx'

interface AppProps {
  readonly inspector: Inspector
  readonly endpoint: string
  readonly anonKey: string | null
  readonly leave: (() => void) | null
}

const PANES: readonly (readonly [Pane, string])[] = [
  ['topics', 'Topics'],
  ['log', 'Log'],
  ['side', 'Details'],
]

export function App({ inspector, endpoint, anonKey, leave }: AppProps): VNode {
  const showsShortcuts = useSignal(false)
  const showsDemo = useSignal(!hasSeenDemo())
  useEffect(() => listenToKeys({ inspector, endpoint, showShortcuts: () => (showsShortcuts.value = true) }), [])

  const hideDemo = (): void => {
    rememberDemo()
    showsDemo.value = false
  }
  const canDemo = anonKey !== null
  return (
    <div class="app">
      <TopBar inspector={inspector} leave={leave} showShortcuts={() => (showsShortcuts.value = true)} />
      <main class="parts" data-pane={inspector.pane.value}>
        <div class="panes" role="group" aria-label="Part of the page">
          {PANES.map(([pane, label]) => (
            <button
              key={pane}
              class={`pane-${pane}`}
              aria-pressed={inspector.pane.value === pane}
              onClick={() => (inspector.pane.value = pane)}
            >
              {label}
            </button>
          ))}
        </div>
        <Topics inspector={inspector} />
        <section class="middle" aria-label="Live traffic">
          {canDemo && showsDemo.value && <Demo endpoint={endpoint} anonKey={anonKey} close={hideDemo} />}
          <LogToolbar inspector={inspector} showDemo={canDemo && !showsDemo.value ? () => (showsDemo.value = true) : null} />
          <LogList inspector={inspector} needsKey={leave !== null} />
          <LogDetail inspector={inspector} endpoint={endpoint} />
          <Composer inspector={inspector} endpoint={endpoint} anonKey={anonKey} />
        </section>
        <Side inspector={inspector} />
      </main>
      <Notice inspector={inspector} />
      {showsShortcuts.value && <Shortcuts close={() => (showsShortcuts.value = false)} />}
    </div>
  )
}
