import { setTimeout as delay } from 'node:timers/promises'

export interface Pace {
  /** Messages that are sent at once. */
  readonly burst: number
  /** At most: what a late timer has missed is not made up for while only one burst a turn may be sent. */
  readonly perSecond: number
  readonly oneATurn: boolean
  readonly forMs: number
}

/** `lone`: one message a turn. `gathered` and `full`: 16 and 64 written at once, as many turns a second. `busy`: as they come. */
export type PaceName = 'lone' | 'gathered' | 'full' | 'busy'

export const paces: Readonly<Record<PaceName, Omit<Pace, 'forMs'>>> = {
  lone: { burst: 1, perSecond: 1_000, oneATurn: true },
  gathered: { burst: 16, perSecond: 5_000, oneATurn: true },
  full: { burst: 64, perSecond: 20_000, oneATurn: true },
  busy: { burst: 1, perSecond: 5_000, oneATurn: false },
}

/** Sends for so long; returns how many. */
export async function keepPace({ burst, perSecond, oneATurn, forMs }: Pace, send: (count: number) => void): Promise<number> {
  const startedAt = performance.now()
  let sent = 0
  while (performance.now() - startedAt < forMs) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) - sent
    for (let left = oneATurn ? Math.min(due, burst) : due; left >= burst; left -= burst) {
      send(burst)
      sent += burst
    }
    await delay(1)
  }
  return sent
}
