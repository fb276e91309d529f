import type { VNode } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Inspector } from '../inspector.ts'

const SHOWN_MS = 4_000

/** A notice shown for a moment. Its live region exists before its text, so that screen readers announce it. */
export function Notice({ inspector }: { readonly inspector: Inspector }): VNode {
  const notice = inspector.notice.value
  useEffect(() => {
    if (notice === null) return
    const timer = setTimeout(() => (inspector.notice.value = null), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [notice])
  return (
    <div class="notice" role="status" aria-live="polite">
      {/* A new element each time: the same words twice are said twice. */}
      {notice !== null && <p key={notice.count}>{notice.text}</p>}
    </div>
  )
}
