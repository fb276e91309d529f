const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', ...(process.platform === 'win32' ? (['SIGBREAK'] as const) : [])]

/** Two signals within this time are one Ctrl-C: it comes from the terminal, and again from npm. */
const SAME_PRESS_MS = 500

export interface StopSignal {
  /** Resolves at the first Ctrl-C or other request to end. A second one ends the process at once, with code 1. */
  readonly requested: Promise<NodeJS.Signals>
  /** Stops listening: signals have their default effect again. */
  release(): void
}

export function watchStopSignal(): StopSignal {
  let firstAt: number | null = null
  let request: (signal: NodeJS.Signals) => void
  const requested = new Promise<NodeJS.Signals>((resolve) => (request = resolve))
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt !== null && performance.now() - firstAt > SAME_PRESS_MS) process.exit(1)
    firstAt ??= performance.now()
    request(signal)
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  return {
    requested,
    release: () => {
      for (const signal of SIGNALS) process.off(signal, onSignal)
    },
  }
}
