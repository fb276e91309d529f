import { setTimeout as delay } from 'node:timers/promises'
import type { TcpProxy } from '@tidewire/testkit'
import type { ClusterClient } from './cluster-client.ts'

/** After the way is there again: a node dials again after three seconds at most, and the other nodes report at its next heartbeat. */
const REPORTED_WITHIN_MS = 8_000

/** The times in which messages between nodes could be lost. A gap that is reported at any other time is one too many. */
export class LinkFaults {
  readonly #times: { readonly from: number; readonly to: number }[] = []

  async during(fault: () => Promise<void>): Promise<void> {
    const from = performance.now()
    await fault()
    this.#times.push({ from, to: performance.now() + REPORTED_WITHIN_MS })
  }

  unexplained({ id, lossesAt }: ClusterClient): string[] {
    const outside = lossesAt.filter((at) => !this.#times.some(({ from, to }) => at >= from && at <= to))
    return outside.length === 0 ? [] : [`client ${id} was notified of ${outside.length} gaps while no way between nodes was down`]
  }
}

export async function cutFor(way: TcpProxy, ms: number): Promise<void> {
  way.cut()
  await delay(ms)
  way.heal()
}
