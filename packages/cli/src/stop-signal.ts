const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', ...(process.platform === 'win32' ? (['SIGBREAK'] as const) : [])]

/** One Ctrl-C can come twice: from the terminal, and passed on by npm. */
const SAME_PRESS_MS = 500

export interface StopSignal {
  /** Resolves at the first Ctrl-C or other request to end. A second one ends the process at once, with code 1. */
  readonly requested: Promise<NodeJS.Signals>
  /** Listens no longer: signals do what they do to any process. */
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
