import type { VNode } from 'preact'
import type { Inspector, SideTab } from '../../inspector.ts'
import { Connections } from './connections.tsx'
import { Latency } from './latency.tsx'
import { moveFocus } from '../browser/move-focus.ts'
import { Presence } from './presence.tsx'
import { Why } from './why.tsx'

export const TABS: readonly (readonly [SideTab, string])[] = [
  ['latency', 'Latency'],
  ['presence', 'Presence'],
  ['connections', 'Connections'],
  ['why', 'Why?'],
]

/** The tabs on the right. */
export function Side({ inspector }: { readonly inspector: Inspector }): VNode {
  const chosen = inspector.tab.value
  return (
    <section class="side" aria-label="Details">
      <div class="tabs" role="tablist" aria-label="Details" onKeyDown={(event) => moveFocus(event, 'button', 'x')}>
        {TABS.map(([tab, label]) => (
          <button
            key={tab}
            id={`tab-${tab}`}
            role="tab"
            aria-selected={tab === chosen}
            aria-controls="tab-panel"
            tabIndex={tab === chosen ? 0 : -1}
            onClick={() => inspector.showTab(tab)}
            onFocus={() => (inspector.tab.value = tab)}
          >
            {label}
          </button>
        ))}
      </div>
      <div id="tab-panel" class="panel" role="tabpanel" aria-labelledby={`tab-${chosen}`}>
        {chosen === 'latency' && <Latency inspector={inspector} />}
        {chosen === 'presence' && <Presence inspector={inspector} />}
        {chosen === 'connections' && <Connections inspector={inspector} />}
        {chosen === 'why' && <Why inspector={inspector} />}
      </div>
    </section>
  )
}
