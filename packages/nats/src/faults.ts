import type { RelayFault, RelayFaultCode } from '@tidewire/server'

const REPORT_EVERY_MS = 10_000

interface Tally {
  total: number
  unreported: number
  reportedAt: number
  detail: string
}

/** Counts faults, and reports the first of a kind at once and the others together, so that a flood is a line every ten seconds. */
export class Faults {
  readonly #report: (fault: RelayFault) => void
  readonly #tallies = new Map<RelayFaultCode, Tally>()

  constructor(report: (fault: RelayFault) => void) {
    this.#report = report
  }

  add(code: RelayFaultCode, detail: string, nowMs: number): void {
    let tally = this.#tallies.get(code)
    if (tally === undefined) {
      tally = { total: 0, unreported: 0, reportedAt: -Infinity, detail }
      this.#tallies.set(code, tally)
    }
    tally.total++
    tally.unreported++
    tally.detail = detail
    this.#reportDue(code, tally, nowMs)
  }

  tick(nowMs: number): void {
    for (const [code, tally] of this.#tallies) this.#reportDue(code, tally, nowMs)
  }

  totals(): Readonly<Partial<Record<RelayFaultCode, number>>> {
    return Object.fromEntries(Array.from(this.#tallies, ([code, { total }]) => [code, total]))
  }

  #reportDue(code: RelayFaultCode, tally: Tally, nowMs: number): void {
    if (tally.unreported === 0 || nowMs - tally.reportedAt < REPORT_EVERY_MS) return
    const fault = { code, detail: tally.detail, count: tally.unreported }
    tally.unreported = 0
    tally.reportedAt = nowMs
    this.#report(fault)
  }
}
