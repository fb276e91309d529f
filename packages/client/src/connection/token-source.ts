import { Machine, RealtimeError, type TimerPort } from '@tidewire/protocol'
import { expiryOfJwt, noToken, tokenTransition, type TokenEffect, type TokenEvent, type TokenState } from './token-state.ts'
import type { Runtime } from '../runtime.ts'
import { singleTimer } from '../timer.ts'

type Done = (error?: RealtimeError) => void

export interface TokenPort extends TimerPort {
  readonly given: { readonly accessToken?: () => Promise<string | null> }
  readonly options: { readonly accessTokenTimeoutMs: number }
  readonly runtime: Pick<Runtime, 'nowMs'>
  tokenChanged(): void
  log(kind: string, text: string, data?: unknown): void
}

/** The user's token, and the callbacks that wait for it. */
export class TokenSource {
  readonly #port: TokenPort
  readonly #machine: Machine<TokenState, TokenEvent, TokenEffect>
  readonly #waiters: Done[] = []

  constructor(port: TokenPort) {
    this.#port = port
    const timer = singleTimer(port, () => this.#machine.send({ type: 'timer' }))
    const options = {
      hasCallback: port.given.accessToken !== undefined,
      deadlineMs: port.options.accessTokenTimeoutMs,
      expiresAtMs: expiryOfJwt,
    }
    this.#machine = new Machine(
      noToken,
      (state, event) => tokenTransition(state, event, { ...options, nowMs: port.runtime.nowMs() }),
      (effect) => this.#perform(effect, timer),
    )
  }

  get value(): string | null {
    return this.#machine.state.value
  }

  /** Calls back once the token is known to be fresh; at once without a callback to ask. */
  need(done: Done): void {
    this.#waiters.push(done)
    this.#machine.send({ type: 'need' })
  }

  /** Sets the token, or asks for it again. */
  set(value: string | null, done: Done): void {
    this.#waiters.push(done)
    this.#machine.send(value === null ? { type: 'refresh' } : { type: 'set', value })
  }

  /** The client is in use: the token is replaced ahead of its end. */
  activate(): void {
    this.#machine.send({ type: 'activate' })
  }

  /** The client is not in use: no callback is asked, and all waiters are released. */
  deactivate(): void {
    this.#machine.send({ type: 'deactivate' })
  }

  #perform(effect: TokenEffect, timer: (afterMs: number | null) => void): void {
    const port = this.#port
    switch (effect.type) {
      case 'timer':
        return timer(effect.afterMs)
      case 'ask':
        return void this.#ask(effect.id)
      case 'changed':
        return port.tokenChanged()
      case 'stale':
        return port.log('error', 'access token not refreshed', effect.cause)
      case 'ready':
        return this.#answer()
      case 'unavailable': {
        const { cause } = effect
        port.log('error', 'there is no access token', cause)
        return this.#answer(new RealtimeError('token-unavailable', 'accessToken() threw or took too long.', { cause, retryable: true }))
      }
    }
  }

  async #ask(id: number): Promise<void> {
    let event: TokenEvent
    try {
      event = { type: 'answered', id, value: (await this.#port.given.accessToken!()) ?? null }
    } catch (cause) {
      event = { type: 'failed', id, cause }
    }
    this.#machine.send(event)
  }

  #answer(error?: RealtimeError): void {
    for (const done of this.#waiters.splice(0)) done(error)
  }
}
