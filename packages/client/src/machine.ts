/** What a pure machine `…Transition(state, event, options)` returns. */
export interface Transition<State, Effect> {
  readonly state: State
  readonly effects: readonly Effect[]
}

export interface Timer {
  readonly type: 'timer'
  /** `null` disarms it. */
  readonly afterMs: number | null
}

/** The transition to `state`; without effects, and to the state there was, nothing happens. */
export function go<State, Effect>(state: State, ...effects: readonly NoInfer<Effect>[]): Transition<State, Effect> {
  return { state, effects }
}

/** Sets or clears the one timer of a machine. */
export function arm(afterMs: number | null): Timer {
  return { type: 'timer', afterMs }
}

export interface Machine<State, Event> {
  readonly state: State
  send(event: Event): void
}

/**
 * Runs a pure machine. Effects are carried out in the order in which they were decided, also when carrying one out
 * calls the user's code and that sends the next event: a timer armed by the earlier event cannot outlive the later one.
 */
export function machine<State, Event, Effect>(
  initial: State,
  transition: (state: State, event: Event) => Transition<State, Effect>,
  perform: (effect: Effect) => void,
): Machine<State, Event> {
  let state = initial
  let queue: Effect[] | null = null
  return {
    get state() {
      return state
    },
    send(event) {
      const next = transition(state, event)
      state = next.state
      if (queue !== null) {
        queue.push(...next.effects)
        return
      }
      queue = [...next.effects]
      try {
        for (let at = 0; at < queue.length; at++) perform(queue[at]!)
      } finally {
        queue = null
      }
    },
  }
}

/** One timer that is set again or cleared. */
export function singleTimer(
  clock: { setTimer(run: () => void, afterMs: number): () => void },
  fired: () => void,
): (afterMs: number | null) => void {
  let stop: (() => void) | undefined
  return (afterMs) => {
    stop?.()
    stop = afterMs === null ? undefined : clock.setTimer(fired, afterMs)
  }
}
