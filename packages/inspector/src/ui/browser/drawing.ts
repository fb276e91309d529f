import { options } from 'preact'

const later = (draw: () => void): void => void setTimeout(draw)

/**
 * Draws in tasks of their own, a moment after what is to be drawn has changed: a frame that looks through the log, lays its rows
 * out and paints them would be a long one.
 */
export function drawInTasks(): void {
  options.debounceRendering = later
}

/** Draws what `change` changes before the next frame is painted: a list that is scrolled would have empty places in it. */
export function drawAtOnce(change: () => void): void {
  options.debounceRendering = queueMicrotask
  change()
  options.debounceRendering = later
}
