import { useSignal } from '@preact/signals'
import type { VNode } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { DemoCursor, pathAt, type Point } from '../link/demo-cursor.ts'
import { useMedia } from './browser/use-media.ts'

const STORED = 'tidewire-demo-seen'
/** A pointer that moves faster than this is sent at this pace. */
const SEND_EVERY_MS = 60
/** How long the page moves a cursor by itself, unless the user does before. */
const SELF_MOVING_MS = 60_000

export function hasSeenDemo(): boolean {
  return localStorage.getItem(STORED) !== null
}

export function rememberDemo(): void {
  localStorage.setItem(STORED, 'yes')
}

interface DemoProps {
  readonly endpoint: string
  readonly anonKey: string
  readonly close: () => void
}

/** Two clients side by side that see each other's cursor, over the server. */
export function Demo({ endpoint, anonKey, close }: DemoProps): VNode {
  const topic = useRef(`demo-${Math.random().toString(36).slice(2, 8)}`).current
  return (
    <section class="demo" aria-label="Demo: two clients">
      <div class="bar">
        <p>
          <b>Two clients, one server.</b> Move the pointer in one frame and see it in the other; each position is a broadcast to{' '}
          <code class="mono">{topic}</code>, and the log below shows it.
        </p>
        <button class="quiet-button" onClick={close}>
          Hide
        </button>
      </div>
      <div class="frames">
        <Frame name="Ada" endpoint={endpoint} anonKey={anonKey} topic={topic} isSelfMoving />
        <Frame name="Grace" endpoint={endpoint} anonKey={anonKey} topic={topic} isSelfMoving={false} />
      </div>
    </section>
  )
}

interface FrameProps {
  readonly name: string
  readonly endpoint: string
  readonly anonKey: string
  readonly topic: string
  /** Whether its cursor moves before the user moves it. */
  readonly isSelfMoving: boolean
}

function Frame({ name, endpoint, anonKey, topic, isSelfMoving }: FrameProps): VNode {
  const own = useSignal<Point | null>(null)
  const other = useSignal<(Point & { readonly name: string }) | null>(null)
  const status = useSignal('connecting')
  const isCalm = useMedia('(prefers-reduced-motion: reduce)')
  const isHeld = useRef(false)
  const cursor = useRef<DemoCursor | null>(null)
  const sentAt = useRef(0)

  useEffect(() => {
    const made = new DemoCursor(endpoint, anonKey, topic, name, {
      moved: (point) => (other.value = point),
      status: (text) => (status.value = text),
    })
    cursor.current = made
    return () => made.close()
  }, [endpoint, anonKey, topic])

  useEffect(() => {
    if (!isSelfMoving || isCalm) return
    const startedAt = performance.now()
    const timer = setInterval(() => {
      const passed = performance.now() - startedAt
      if (isHeld.current || passed > SELF_MOVING_MS) return clearInterval(timer)
      if (!document.hidden) move(pathAt(passed))
    }, 120)
    return () => clearInterval(timer)
  }, [isSelfMoving, isCalm])

  function move(point: Point): void {
    own.value = point
    cursor.current?.send(point)
  }
  const pointed = (event: PointerEvent & { readonly currentTarget: HTMLElement }): void => {
    isHeld.current = true
    if (event.timeStamp - sentAt.current < SEND_EVERY_MS) return
    sentAt.current = event.timeStamp
    const { left, top, width, height } = event.currentTarget.getBoundingClientRect()
    move({ x: (event.clientX - left) / width, y: (event.clientY - top) / height })
  }
  return (
    <div class="frame" onPointerMove={pointed} role="img" aria-label={`${name}’s page`}>
      <span class="caption">
        {name} <span class="quiet">{status.value}</span>
      </span>
      {own.value !== null && <Cursor point={own.value} name="" />}
      {other.value !== null && <Cursor point={other.value} name={other.value.name} />}
    </div>
  )
}

function Cursor({ point, name }: { readonly point: Point; readonly name: string }): VNode {
  return (
    <span class={name === '' ? 'cursor own' : 'cursor'} style={{ left: `${point.x * 100}%`, top: `${point.y * 100}%` }}>
      <svg width="14" height="16" viewBox="0 0 14 16" aria-hidden="true">
        <path d="M1 1l12 7-5.5 1.2L4.6 15z" />
      </svg>
      {name}
    </span>
  )
}
