import type { ChangeSourceRuntime } from './change-source-api.ts'
import {
  openReplication,
  transition,
  type ReplicationEffect,
  type ReplicationEvent,
  type ReplicationState,
  type ReplicationStep,
  type ReplicationTimer,
  type ReplicationTimes,
} from './replication-state.ts'

type TimerEffect = Extract<ReplicationEffect, { type: 'set-timer' | 'clear-timer' }>

export interface RunnerHandlers {
  run(effect: Exclude<ReplicationEffect, TimerEffect>): void
  /** All effects of an event have run. */
  settled(): void
}

/** Holds the machine's state and timers, and hands its other effects on. */
export class ReplicationRunner {
  readonly #runtime: ChangeSourceRuntime
  readonly #times: ReplicationTimes
  readonly #handlers: RunnerHandlers
  readonly #timers = new Map<ReplicationTimer, { cancel(): void }>()
  readonly #effects: ReplicationEffect[] = []
  #running = false
  #state: ReplicationState = openReplication().state

  constructor(runtime: ChangeSourceRuntime, times: ReplicationTimes, handlers: RunnerHandlers) {
    this.#runtime = runtime
    this.#times = times
    this.#handlers = handlers
  }

  get state(): ReplicationState {
    return this.#state
  }

  open(): void {
    this.#apply(openReplication())
  }

  dispatch(event: ReplicationEvent): void {
    this.#apply(transition(this.#state, event, this.#times))
  }

  /** Effects may cause events; those are answered after the effects that are already due. */
  #apply(step: ReplicationStep): void {
    this.#state = step.state
    if (step.effects.length === 0) return
    this.#effects.push(...step.effects)
    if (this.#running) return
    this.#running = true
    try {
      for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) this.#run(effect)
    } finally {
      this.#running = false
    }
    this.#handlers.settled()
  }

  #run(effect: ReplicationEffect): void {
    if (effect.type !== 'set-timer' && effect.type !== 'clear-timer') return this.#handlers.run(effect)
    const { timer } = effect
    this.#timers.get(timer)?.cancel()
    this.#timers.delete(timer)
    if (effect.type === 'clear-timer') return
    const fire = (): void => {
      this.#timers.delete(timer)
      this.dispatch({ type: 'timer', timer, jitter: this.#runtime.random() })
    }
    this.#timers.set(timer, this.#runtime.setTimer(fire, effect.afterMs))
  }
}
