/** Which rows of a long list to draw. */
export interface Window {
  /** The first row, and the one after the last. */
  readonly from: number
  readonly to: number
}

/** The rows that can be seen, and `margin` more at both ends, so that a quick scroll finds something. Heights in pixels. */
export function windowOf(total: number, rowHeight: number, scrollTop: number, height: number, margin = 12): Window {
  const first = Math.floor(scrollTop / rowHeight)
  const last = Math.ceil((scrollTop + height) / rowHeight)
  const from = Math.min(Math.max(0, first - margin), total)
  return { from, to: Math.max(from, Math.min(total, last + margin)) }
}

/** Whether the list stands at its end, give or take a row: then it follows what comes in. */
export function isAtEnd(scrollTop: number, height: number, scrollHeight: number, rowHeight: number): boolean {
  return scrollHeight - scrollTop - height <= rowHeight
}

/** Where to scroll so that a row can be seen; as little as possible. */
export function scrollToRow(index: number, rowHeight: number, scrollTop: number, height: number): number {
  const top = index * rowHeight
  if (top < scrollTop) return top
  return top + rowHeight > scrollTop + height ? top + rowHeight - height : scrollTop
}
