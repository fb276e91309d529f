import { useSignal } from '@preact/signals'
import type { VNode } from 'preact'
import { bytes } from '../../stores/format.ts'
import { cutText, visibleText } from '../../stores/visible-text.ts'

/** A longer text is not parsed: a tree of that size is not opened by hand. */
const LONGEST_TREE = 1_000_000
const TEXT_STEP = 8_000
const CHILDREN_STEP = 100
const STRING_CHARACTERS = 400

/** A payload, as a tree that can be opened, or as text where it is no whole JSON. */
export function JsonView({ text, truncated }: { readonly text: string; readonly truncated: number | undefined }): VNode {
  const value = truncated === undefined ? parsed(text) : undefined
  return (
    <div class="json mono">
      {value === undefined ? <LongText text={text} /> : <JsonNode value={value} depth={0} />}
      {truncated !== undefined && <p class="quiet">Cut by the server; there were {bytes(truncated)}.</p>}
    </div>
  )
}

function LongText({ text }: { readonly text: string }): VNode {
  const limit = useSignal(TEXT_STEP)
  const { text: shown, more } = cutText(text, limit.value)
  return (
    <>
      <pre>{visibleText(shown, true)}</pre>
      {more > 0 && (
        <button class="link" onClick={() => (limit.value += TEXT_STEP * 4)}>
          {more.toLocaleString('en')} more characters
        </button>
      )}
    </>
  )
}

interface NodeProps {
  readonly name?: string
  readonly value: unknown
  readonly depth: number
}

function JsonNode({ name, value, depth }: NodeProps): VNode {
  const label = name === undefined ? null : <span class="name">{visibleText(cutText(name, STRING_CHARACTERS).text)}: </span>
  if (typeof value !== 'object' || value === null)
    return (
      <div class="leaf">
        {label}
        <Scalar value={value} />
      </div>
    )
  return <Branch label={label} value={value} depth={depth} />
}

function Branch({ label, value, depth }: { readonly label: VNode | null; readonly value: object; readonly depth: number }): VNode {
  const keys = Object.keys(value)
  const isOpen = useSignal(depth < 3 && keys.length <= CHILDREN_STEP)
  const limit = useSignal(CHILDREN_STEP)
  const isArray = Array.isArray(value)
  const summary = keys.length === 0 ? (isArray ? '[]' : '{}') : isArray ? `[${keys.length}]` : `{${keys.length}}`
  if (keys.length === 0)
    return (
      <div class="leaf">
        {label}
        <span class="quiet">{summary}</span>
      </div>
    )
  return (
    <div class="branch">
      <button class="fold" aria-expanded={isOpen.value} onClick={() => (isOpen.value = !isOpen.value)}>
        {label}
        <span class="quiet">{summary}</span>
      </button>
      {isOpen.value && (
        <div class="children">
          {keys.slice(0, limit.value).map((key) => (
            <JsonNode key={key} name={key} value={(value as { readonly [key: string]: unknown })[key]} depth={depth + 1} />
          ))}
          {keys.length > limit.value && (
            <button class="link" onClick={() => (limit.value += CHILDREN_STEP)}>
              {(keys.length - limit.value).toLocaleString('en')} more
            </button>
          )}
        </div>
      )}
    </div>
  )
}

function Scalar({ value }: { readonly value: unknown }): VNode {
  const limit = useSignal(STRING_CHARACTERS)
  if (typeof value !== 'string') return <span class={value === null ? 'null' : typeof value}>{String(value)}</span>
  const { text, more } = cutText(value, limit.value)
  return (
    <span class="string">
      <bdi>"{visibleText(text)}"</bdi>
      {more > 0 && (
        <button class="link" onClick={() => (limit.value += TEXT_STEP)}>
          {more.toLocaleString('en')} more
        </button>
      )}
    </span>
  )
}

function parsed(text: string): unknown {
  if (text.length > LONGEST_TREE) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
