/** A validator as Zod, Valibot, ArkType and others offer it: https://standardschema.dev. */
export interface Schema<Output = unknown> {
  readonly '~standard': {
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined
  }
}

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] }

/** Validators of a channel's broadcasts, by event. */
export interface Schemas {
  readonly [event: string]: Schema
}

/** The payloads that validators let through. */
export type EventsOf<All extends Schemas> = {
  [Event in keyof All]: All[Event] extends Schema<infer Output> ? Output : never
}

/** Calls `take` with the payload as the validator gives it, or `refuse` with what it found wrong; at once if the validator can. */
export function validated(
  schema: Schema,
  payload: unknown,
  take: (payload: unknown) => void,
  refuse: (fault: string) => void,
): void | Promise<void> {
  const judge = (result: SchemaResult<unknown>): void =>
    result.issues === undefined ? take(result.value) : refuse(result.issues.map(({ message }) => message).join('; '))
  try {
    const result = schema['~standard'].validate(payload)
    return result instanceof Promise ? result.then(judge, (cause: unknown) => refuse(String(cause))) : judge(result)
  } catch (cause) {
    refuse(String(cause))
  }
}
/** Payloads on their way through validators, one after the other: a slow validator holds the later ones back. */
export class Validation {
  #last: Promise<void> | null = null

  /** Runs `deliver` at once unless an earlier one is still on its way. `deliver` returns a promise if it takes time. */
  inOrder(deliver: () => void | Promise<void>): void {
    const last = this.#last === null ? deliver() : this.#last.then(deliver)
    if (!(last instanceof Promise)) return
    this.#last = last
    void last.then(() => {
      if (this.#last === last) this.#last = null
    })
  }
}
