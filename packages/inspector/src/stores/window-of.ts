/** Which rows of a long list to draw. */
export interface Window {
  /** The first row, and the one after the last. */
  readonly from: number
  readonly to: number
}

/** So many rows beyond either end are drawn, so that a quick scroll finds something. */
const MARGIN = 12
/** For a list that follows new rows, and lays out all of its rows each time. */
const FOLLOWING_MARGIN = 4

/** The rows that can be seen, and a few more at both ends. Heights in pixels. */
export function windowOf(total: number, rowHeight: number, scrollTop: number, height: number, follows: boolean): Window {
  const margin = follows ? FOLLOWING_MARGIN : MARGIN
  // The list may have become shorter since it was scrolled.
  const top = Math.min(scrollTop, Math.max(0, total * rowHeight - height))
  const first = Math.floor(top / rowHeight)
  const last = Math.ceil((top + height) / rowHeight)
  const from = Math.min(Math.max(0, first - margin), total)
  return { from, to: Math.max(from, Math.min(total, last + margin)) }
}

/** More rows than this are in no window of such a height. */
export function mostDrawn(rowHeight: number, height: number): number {
  return Math.ceil(height / rowHeight) + 1 + 2 * MARGIN
}

/** Whether the list is scrolled to its end, give or take a row: then it follows new rows. */
export function isAtEnd(scrollTop: number, height: number, scrollHeight: number, rowHeight: number): boolean {
  return scrollHeight - scrollTop - height <= rowHeight
}

/** Where to scroll so that a row can be seen; as little as possible. */
export function scrollToRow(index: number, rowHeight: number, scrollTop: number, height: number): number {
  const top = index * rowHeight
  if (top < scrollTop) return top
  return top + rowHeight > scrollTop + height ? top + rowHeight - height : scrollTop
}
