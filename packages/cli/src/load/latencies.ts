const STEPS_PER_OCTAVE = 256
/** What is faster counts as this: about a hundredth of a millisecond. */
const LEAST_MS = 2 ** -7
/** Up to seventeen minutes. */
const STEPS = 27 * STEPS_PER_OCTAVE

/** The upper half of a number is its exponent and the first bits of its fraction: shifted, it numbers the steps, faster than a logarithm. */
const bits = new DataView(new ArrayBuffer(8))
const SHIFT = 20 - Math.log2(STEPS_PER_OCTAVE)
const FIRST_STEP = stepOf(LEAST_MS)

/** How long messages took, in milliseconds. What is read is at most 0.4 % above the true value; the memory is the same for any number. */
export class Latencies {
  readonly #counts = new Uint32Array(STEPS)
  #maxMs = 0

  add(ms: number): void {
    this.#counts[ms > LEAST_MS ? Math.min(STEPS - 1, stepOf(ms) - FIRST_STEP) : 0]!++
    if (ms > this.#maxMs) this.#maxMs = ms
  }

  /** Milliseconds within which a share of the messages came. `null` when none came. */
  within(share: number): number | null {
    let left = this.#counts.reduce((sum, each) => sum + each) * share
    if (left === 0) return null
    for (let step = 0; step < STEPS; step++) {
      left -= this.#counts[step]!
      if (left <= 0) return Math.min(this.#maxMs, endOf(step))
    }
    return this.#maxMs
  }

  /** `null` when none came. */
  get maxMs(): number | null {
    return this.within(1)
  }
}

function stepOf(ms: number): number {
  bits.setFloat64(0, ms, true)
  return bits.getUint32(4, true) >>> SHIFT
}

function endOf(step: number): number {
  return LEAST_MS * 2 ** Math.floor(step / STEPS_PER_OCTAVE) * (1 + ((step % STEPS_PER_OCTAVE) + 1) / STEPS_PER_OCTAVE)
}
