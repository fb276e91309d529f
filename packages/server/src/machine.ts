/** The result of a pure machine `…Transition(state, event, options)`. */
export interface Transition<State, Effect> {
  readonly state: State
  readonly effects: readonly Effect[]
}

/**
 * Carries out the effects of one machine in the order in which they were decided. The owner assigns the state first; an
 * effect that sends the next event has that event's effects carried out after those of the event before.
 */
export class Effects<Effect> {
  #queue: Effect[] | null = null

  run(effects: readonly Effect[], perform: (effect: Effect) => void): void {
    if (this.#queue !== null) {
      this.#queue.push(...effects)
      return
    }
    if (effects.length === 0) return
    const queue = (this.#queue = [...effects])
    try {
      for (let at = 0; at < queue.length; at++) perform(queue[at]!)
    } finally {
      this.#queue = null
    }
  }
}
