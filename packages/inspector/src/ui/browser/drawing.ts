import { options } from 'preact'

const later = (draw: () => void): void => void setTimeout(draw)

/**
 * Draws in tasks of their own, a moment after the data has changed: to filter the log, lay out its rows and paint them in one
 * frame would take too long.
 */
export function drawInTasks(): void {
  options.debounceRendering = later
}

/** Draws what `change` changes before the next frame: a scrolled list would have gaps. */
export function drawAtOnce(change: () => void): void {
  options.debounceRendering = queueMicrotask
  change()
  options.debounceRendering = later
}
