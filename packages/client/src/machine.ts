/** Where a machine goes, and what is to be done. */
export interface Step<State, Effect> {
  readonly state: State
  readonly effects: readonly Effect[]
}

export interface Timer {
  readonly type: 'timer'
  /** `null` disarms it. */
  readonly afterMs: number | null
}

/** The step to `state`; without effects, and to the state there was, nothing happens. */
export function go<State, Effect>(state: State, ...effects: readonly NoInfer<Effect>[]): Step<State, Effect> {
  return { state, effects }
}

/** Sets the machine's one timer anew. */
export function arm(afterMs: number | null): Timer {
  return { type: 'timer', afterMs }
}

export interface Machine<State, Event> {
  readonly state: State
  send(event: Event): void
}

/**
 * Runs a pure machine. Effects are carried out in the order in which they were decided, also when carrying one out
 * calls the user's code and that sends the next event: a timer armed by the earlier step cannot outlive the later one.
 */
export function machine<State, Event, Effect>(
  initial: State,
  step: (state: State, event: Event) => Step<State, Effect>,
  perform: (effect: Effect) => void,
): Machine<State, Event> {
  let state = initial
  let queue: Effect[] | null = null
  return {
    get state() {
      return state
    },
    send(event) {
      const next = step(state, event)
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
  clock: { setTimer(afterMs: number, run: () => void): () => void },
  fired: () => void,
): (afterMs: number | null) => void {
  let stop = (): void => {}
  return (afterMs) => {
    stop()
    stop = afterMs === null ? () => {} : clock.setTimer(afterMs, fired)
  }
}
