import { useSignal } from '@preact/signals'
import type { AdminLogRow } from '@tidewire/protocol'
import { Component, type VNode } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'
import type { Inspector } from '../../inspector.ts'
import { bytes, clock, count } from '../../stores/format.ts'
import type { LogEntry } from '../../stores/log-store.ts'
import { cutText, visibleText } from '../../stores/visible-text.ts'
import { isAtEnd, mostDrawn, scrollToRow, windowOf } from '../../stores/window-of.ts'
import { drawAtOnce } from '../browser/drawing.ts'
import { useMedia } from '../browser/use-media.ts'

const PREVIEW_CHARACTERS = 240

/** The log, the newest at the bottom. Only the rows that can be seen are drawn, so that its length costs nothing. */
export function LogList({ inspector, needsKey }: { readonly inspector: Inspector; readonly needsKey: boolean }): VNode {
  const root = useRef<HTMLDivElement>(null)
  const rowHeight = useMedia('(max-width: 719px)') ? 42 : 24
  const heightOfRow = useRef(rowHeight)
  heightOfRow.current = rowHeight
  const height = useSignal(0)
  /** The scroll position, while the list does not follow its end. */
  const scrolledTo = useSignal(0)
  const follows = useSignal(true)
  const lastGone = useRef(0)
  const shown = inspector.log.shown.value
  const { entries } = shown
  const chosen = inspector.entry.value
  const left = shown.gone - lastGone.current
  // Computed before drawing: to draw, scroll and draw again would lay out all rows twice, or leave one frame empty.
  const top = Math.max(0, follows.value ? entries.length * rowHeight - height.value : scrolledTo.value - left * rowHeight)

  const scrolled = (): void => {
    const list = root.current!
    scrolledTo.value = list.scrollTop
    follows.value = isAtEnd(list.scrollTop, list.clientHeight, list.scrollHeight, heightOfRow.current)
  }

  useLayoutEffect(() => {
    const list = root.current!
    const observer = new ResizeObserver(() => {
      const entry = inspector.entry.value
      const { entries: all } = inspector.log.shown.value
      // The row's own details may cover it now.
      if (entry !== null) list.scrollTop = scrollToRow(indexOf(all, entry), heightOfRow.current, list.scrollTop, list.clientHeight)
      else if (follows.value) list.scrollTop = list.scrollHeight
      drawAtOnce(() => {
        height.value = list.clientHeight
        scrolled()
      })
    })
    observer.observe(list)
    return () => observer.disconnect()
  }, [])

  useLayoutEffect(() => {
    const list = root.current!
    lastGone.current = shown.gone
    // Its height may have changed in this very frame.
    if (follows.value) list.scrollTop = list.scrollHeight
    else if (left > 0) {
      list.scrollTop = top
      scrolledTo.value = top
    }
  }, [shown, rowHeight])

  // Keys may come faster than frames: the current choice counts, not the one drawn last.
  const choose = (index: number): void => {
    const all = inspector.log.shown.value.entries
    const entry = all[Math.max(0, Math.min(all.length - 1, index))]
    if (entry === undefined) return
    inspector.entry.value = entry
    const list = root.current!
    list.scrollTop = scrollToRow(indexOf(all, entry), rowHeight, list.scrollTop, list.clientHeight)
  }
  const pressed = (event: KeyboardEvent): void => {
    if (event.key === 'Enter') return document.getElementById('row-body')?.focus()
    const all = inspector.log.shown.value.entries
    const now = inspector.entry.value
    const at = now === null ? all.length : indexOf(all, now)
    const page = Math.max(1, Math.floor(height.value / rowHeight) - 1)
    const steps: { readonly [key: string]: number } = { ArrowUp: -1, k: -1, ArrowDown: 1, j: 1, PageUp: -page, PageDown: page }
    const to =
      event.key === 'Home' ? 0 : event.key === 'End' ? all.length - 1 : steps[event.key] === undefined ? null : at + steps[event.key]!
    if (to === null || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    choose(to)
  }

  const { from, to } = windowOf(entries.length, rowHeight, top, height.value, follows.value)
  // A row that scrolls out lends its elements to one that scrolls in: making new ones for each took several times as long.
  const slots = mostDrawn(rowHeight, height.value)
  return (
    <div class="log-frame">
      <div
        ref={root}
        id="log"
        class="log"
        role="listbox"
        tabIndex={0}
        aria-label="Log, the newest last"
        aria-activedescendant={chosen === null ? undefined : `entry-${chosen.key}`}
        onScroll={() => drawAtOnce(scrolled)}
        onKeyDown={pressed}
      >
        <div class="length" style={{ height: `${entries.length * rowHeight}px` }}>
          {entries.slice(from, to).map((entry, index) => (
            <Entry
              key={(shown.gone + from + index) % slots}
              entry={entry}
              top={(from + index) * rowHeight}
              position={from + index + 1}
              total={entries.length}
              isChosen={entry.key === chosen?.key}
              choose={() => (inspector.entry.value = entry.key === chosen?.key ? null : entry)}
            />
          ))}
        </div>
      </div>
      {!follows.value && entries.length > 0 && (
        <button class="to-end" onClick={() => (root.current!.scrollTop = root.current!.scrollHeight)}>
          Newest ↓
        </button>
      )}
      {entries.length === 0 && <Empty inspector={inspector} needsKey={needsKey} />}
    </div>
  )
}

interface EntryProps {
  readonly entry: LogEntry
  readonly top: number
  readonly position: number
  readonly total: number
  readonly isChosen: boolean
  readonly choose: () => void
}

function Entry({ entry, top, position, total, isChosen, choose }: EntryProps): VNode {
  const { row } = entry
  return (
    <div
      id={`entry-${entry.key}`}
      class={classOf(row)}
      role="option"
      aria-selected={isChosen}
      aria-posinset={position}
      aria-setsize={total}
      style={{ transform: `translateY(${top}px)` }}
      onClick={choose}
    >
      <Said entry={entry} />
    </div>
  )
}

interface SaidProps {
  readonly entry: LogEntry
}

/**
 * The text of a row never changes, only its place and the number of rows. Drawn elements are not memoised: they refer to their
 * parents, so each would keep the list of its drawing alive, and that one the lists before it.
 */
class Said extends Component<SaidProps> {
  override shouldComponentUpdate({ entry }: SaidProps): boolean {
    return entry !== this.props.entry
  }

  override render({ entry }: SaidProps): VNode {
    return entry.row === undefined ? <span class="preview">{entry.missing}</span> : <Row row={entry.row} />
  }
}

function Row({ row }: { readonly row: AdminLogRow }): VNode {
  return (
    <>
      <time class="mono">{clock(row.at)}</time>
      <span class="kind">{row.kind}</span>
      <bdi class="topic mono">
        {row.topic === undefined ? '' : short(row.topic)}
        {row.private === true && <span class="lock" title="private" role="img" aria-label="private" />}
      </bdi>
      <bdi class="event mono">{row.event === undefined ? '' : short(row.event)}</bdi>
      <bdi class="preview mono">{preview(row)}</bdi>
      {row.receivers !== undefined && (
        <span class={row.receivers === 0 ? 'number mono none' : 'number mono'} title="receivers">
          →{count(row.receivers)}
        </span>
      )}
      {row.bytes !== undefined && <span class="number mono size">{bytes(row.bytes)}</span>}
    </>
  )
}

/** A row without figures leaves their columns to its text. */
function classOf(row: AdminLogRow | undefined): string {
  if (row === undefined) return 'entry missing'
  return row.receivers === undefined && row.bytes === undefined ? `entry ${row.kind} plain` : `entry ${row.kind}`
}

function preview({ kind, payload, detail, connection }: AdminLogRow): string {
  const text = kind === 'decision' ? (detail ?? payload) : [detail, payload].filter((part) => part !== undefined).join('  ')
  return short(text === undefined || text === '' ? (connection ?? '') : text)
}

function short(text: string): string {
  return visibleText(cutText(text, PREVIEW_CHARACTERS).text)
}

/** The place of an entry. Keys rise, so it is found by halving. */
function indexOf(entries: readonly LogEntry[], { key }: LogEntry): number {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (entries[middle]!.key < key) low = middle + 1
    else high = middle
  }
  return low
}

function Empty({ inspector: { log }, needsKey }: { readonly inspector: Inspector; readonly needsKey: boolean }): VNode {
  const isFiltered = log.filter.value !== '' && log.total.value > 0
  // A page that needed a key belongs to no project of which the command could take one.
  const target = needsKey ? ` --url ${location.origin} --key …` : ''
  return (
    <p class="empty centred">
      {isFiltered
        ? `None of ${log.total.value.toLocaleString('en')} rows has what you filter by.`
        : `Nothing has happened since this page was opened. Send something below, or from a terminal: npx tidewire send lobby hello${target}`}
    </p>
  )
}
