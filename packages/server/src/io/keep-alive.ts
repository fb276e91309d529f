/** Timers that keep the process alive while there is no listener: those of the runtime do not. */

export function pause(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => void setTimeout(resolve, ms))
}

export async function keepAlive(work: Promise<void>): Promise<void> {
  const timer = setInterval(() => {}, 60_000)
  try {
    await work
  } finally {
    clearInterval(timer)
  }
}
