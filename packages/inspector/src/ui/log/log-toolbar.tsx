import type { VNode } from 'preact'
import type { Inspector } from '../../inspector.ts'
import { count } from '../../stores/format.ts'

export function LogToolbar({ inspector, showDemo }: { readonly inspector: Inspector; readonly showDemo: (() => void) | null }): VNode {
  const { log } = inspector
  const watch = inspector.watch.value
  const isPaused = log.isPaused.value
  const filter = log.filter.value.trim()
  return (
    <div class="bar" role="group" aria-label="What the log shows">
      <input
        id="log-filter"
        type="search"
        aria-label="Filter the log"
        placeholder="Filter: todos -presence kind:change topic:room"
        spellcheck={false}
        value={log.filter.value}
        onInput={(event) => log.setFilter(event.currentTarget.value)}
      />
      {(filter !== '' || watch.match !== '') && (
        <button
          class="quiet-button"
          aria-pressed={watch.match !== ''}
          title="Let the server leave out rows that do not match, so that a burst skips no row that does"
          onClick={() => void inspector.setWatch({ ...watch, match: watch.match === '' ? filter : '' })}
        >
          {watch.match === '' ? 'At the server' : `Only “${watch.match}”`}
        </button>
      )}
      <button class="quiet-button" aria-pressed={isPaused} onClick={() => log.pause(!isPaused)} title="Pause (p)">
        {isPaused ? `Go on${log.waiting.value > 0 ? ` · ${count(log.waiting.value)} new` : ''}` : 'Pause'}
      </button>
      <button
        class="quiet-button wide-only"
        aria-pressed={watch.payloads}
        title="Whether the server sends payloads"
        onClick={() => void inspector.setWatch({ ...watch, payloads: !watch.payloads })}
      >
        Payloads
      </button>
      <button class="quiet-button wide-only" onClick={() => log.clear()}>
        Clear
      </button>
      {showDemo !== null && (
        <button class="quiet-button wide-only" onClick={showDemo}>
          Demo
        </button>
      )}
    </div>
  )
}
