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
  step: (state: State, event: Event) => { readonly state: State; readonly effects: readonly Effect[] },
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
  setTimer: (afterMs: number, run: () => void) => () => void,
  fired: () => void,
): (afterMs: number | null) => void {
  let stop = (): void => {}
  return (afterMs) => {
    stop()
    stop = afterMs === null ? () => {} : setTimer(afterMs, fired)
  }
}
