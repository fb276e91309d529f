import type { VNode } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ['/', 'filter the log'],
  ['t', 'filter the topics'],
  ['l', 'go to the log; ↑ ↓ or j k move, Home and End jump'],
  ['Enter', 'from the log into the chosen row; Esc goes back'],
  ['p', 'pause the log, or go on'],
  ['y', 'copy the chosen row as code'],
  ['c', 'go to the composer'],
  ['1 – 4', 'Latency, Presence, Connections, Why?; ← → between them'],
  ['Esc', 'leave a field; close the chosen row'],
  ['?', 'this list'],
]

const FILTERS: readonly (readonly [text: string, what: string])[] = [
  ['todos insert', 'rows that have both words, anywhere'],
  ['-presence', 'rows that do not have the word'],
  ['kind:change', 'also topic: event: from: payload: why:'],
  ['"two words"', 'words with a space between them'],
]

export function Shortcuts({ close }: { readonly close: () => void }): VNode {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog
      ref={dialog}
      class="shortcuts"
      aria-label="Keyboard shortcuts"
      onClose={close}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <div>
        <h2>Keys</h2>
        <dl>
          {KEYS.map(([keys, what]) => (
            <div key={keys}>
              <dt>
                <kbd>{keys}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
        <h2>Filter of the log</h2>
        <dl>
          {FILTERS.map(([text, what]) => (
            <div key={text}>
              <dt>
                <kbd>{text}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
        <button class="primary" autofocus onClick={close}>
          Close
        </button>
      </div>
    </dialog>
  )
}
