import type { VNode } from 'preact'
import type { Inspector } from '../../inspector.ts'
import { copy } from './copy.ts'

interface CopyButtonProps {
  readonly inspector: Inspector
  readonly label: string
  /** Made when the button is pressed. */
  readonly text: () => string
  /** The sentence shown when it is copied. */
  readonly said: string
}

export function CopyButton({ inspector, label, text, said }: CopyButtonProps): VNode {
  return (
    <button class="quiet-button" onClick={() => void copy(inspector, text(), said)}>
      {label}
    </button>
  )
}
