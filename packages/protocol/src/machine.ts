/** The result of a pure machine `…Transition(state, event, options)`: the next state, and what its owner has to do. */
export interface Transition<State, Effect> {
  readonly state: State
  readonly effects: readonly Effect[]
}

/** The transition to `state`; without effects, and to the state there was, nothing happens. */
export function go<State, Effect>(state: State, ...effects: readonly NoInfer<Effect>[]): Transition<State, Effect> {
  return { state, effects }
}

/**
 * Runs a pure machine. The state is that of the last event before any of its effects is carried out. Effects are carried
 * out in the order in which they were decided, also when carrying one out sends the next event.
 * Both functions get the owner, so that many machines of one kind can share them.
 */
export class Machine<State, Event, Effect, Owner = undefined> {
  state: State
  readonly #transition: (state: State, event: Event, owner: Owner) => Transition<State, Effect>
  readonly #perform: (effect: Effect, owner: Owner) => void
  readonly #owner: Owner
  #queue: Effect[] | null = null

  constructor(
    initial: State,
    transition: (state: State, event: Event, owner: Owner) => Transition<State, Effect>,
    perform: (effect: Effect, owner: Owner) => void,
    ...[owner]: Owner extends undefined ? [] : [owner: Owner]
  ) {
    this.state = initial
    this.#transition = transition
    this.#perform = perform
    this.#owner = owner as Owner
  }

  send(event: Event): void {
    const { state, effects } = this.#transition(this.state, event, this.#owner)
    this.state = state
    if (effects.length === 0) return
    if (this.#queue !== null) {
      this.#queue.push(...effects)
      return
    }
    this.#queue = [...effects]
    try {
      // The loop also reaches effects that are added meanwhile.
      for (const effect of this.#queue) this.#perform(effect, this.#owner)
    } finally {
      this.#queue = null
    }
  }
}
