/** The output of a progress bar: a terminal, or a file or pipe that takes lines. */
export interface ProgressStream {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  write(text: string): unknown
}

export interface ProgressOptions {
  readonly stream: ProgressStream
  /** Names the work: `Preparing the database`. */
  readonly label: string
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Work that ends sooner shows nothing. Default 2000. */
  readonly quietMs?: number
}

export interface Progress {
  /** `share`: of the whole, from 0 to 1; `null` where it is unknown. `note` follows it. */
  update(share: number | null, note?: string): void
  /** Clears the bar until the next update, so that another line can be printed. */
  clear(): void
  /** Removes the bar. Nothing is drawn afterwards. */
  end(): void
}

const BAR_CELLS = 24
const REDRAW_MS = 100
/** How often a file or pipe gets a line. */
const LINE_EVERY_MS = 5_000
const CLEAR_LINE = '\r\u001b[K'

/** On a terminal, a bar with the time that is left; elsewhere, plain lines. Short work shows nothing. */
export function progressBar({ stream, label, now, quietMs = 2_000 }: ProgressOptions): Progress {
  const isTerminal = stream.isTTY === true
  const startedAt = now()
  let drawnAt = -Infinity
  let isDrawn = false
  let isOver = false
  const clear = (): void => {
    if (isDrawn) stream.write(CLEAR_LINE)
    isDrawn = false
  }
  return {
    update: (share, note = '') => {
      const at = now()
      if (isOver || at - startedAt < quietMs || at - drawnAt < (isTerminal ? REDRAW_MS : LINE_EVERY_MS)) return
      drawnAt = at
      if (!isTerminal) return void stream.write(`${progressText(label, share, at - startedAt, note)}\n`)
      isDrawn = true
      const room = (stream.columns ?? 80) - 1
      stream.write(CLEAR_LINE + `${barText(share, at - startedAt)} ${progressText(label, share, at - startedAt, note)}`.slice(0, room))
    },
    clear,
    end: () => {
      isOver = true
      clear()
    },
  }
}

/** Draws while work of unknown length goes on. */
export async function withProgress<Result>(options: ProgressOptions, work: (progress: Progress) => Promise<Result>): Promise<Result> {
  const progress = progressBar(options)
  const timer = setInterval(() => progress.update(null), REDRAW_MS)
  try {
    return await work(progress)
  } finally {
    clearInterval(timer)
    progress.end()
  }
}

/** The same, on this terminal. */
export function showProgress<Result>(label: string, work: (progress: Progress) => Promise<Result>): Promise<Result> {
  return withProgress({ stream: process.stderr, label, now: () => performance.now() }, work)
}

/** `Sending: 42 %, 12 s left, 1,200 messages`. */
export function progressText(label: string, share: number | null, elapsedMs: number, note: string): string {
  const parts = share === null ? [`${seconds(elapsedMs)} so far`] : [`${Math.floor(bounded(share) * 100)} %`, timeLeft(share, elapsedMs)]
  return `${label}: ${[...parts, note].filter((part) => part !== '').join(', ')}`
}

/** Half done after 3 s leaves 3 s; the first moments predict nothing. */
function timeLeft(share: number, elapsedMs: number): string {
  return share < 0.01 ? '' : `${seconds((elapsedMs * (1 - bounded(share))) / bounded(share))} left`
}

function barText(share: number | null, elapsedMs: number): string {
  const at = share === null ? Math.floor(elapsedMs / REDRAW_MS) % BAR_CELLS : -1
  const full = Math.round(bounded(share ?? 0) * BAR_CELLS)
  return `[${Array.from({ length: BAR_CELLS }, (_, cell) => (cell < full || cell === at ? '█' : '·')).join('')}]`
}

function seconds(ms: number): string {
  const whole = Math.ceil(ms / 1000)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

function bounded(share: number): number {
  return Math.min(1, Math.max(0, share))
}
