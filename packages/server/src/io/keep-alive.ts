/** The runtime's timers keep no process alive. While there is no listener yet, or none any more, these do. */

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
