/** Exit codes of the command. */
export const exitCodes = {
  ok: 0,
  /** The command failed: a port is taken, no server answers, a file cannot be written. */
  failure: 1,
  /** The arguments or the configuration are wrong: an unknown option, an invalid value. */
  usage: 2,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Ends the command. The message is for the user: what is wrong, and what to do about it. */
export class Failure extends Error {
  readonly exitCode: ExitCode

  constructor(exitCode: ExitCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options)
    this.name = 'Failure'
    this.exitCode = exitCode
  }
}

export function failed(message: string, cause?: unknown): Failure {
  return new Failure(exitCodes.failure, message, { cause })
}

export function misused(message: string): Failure {
  return new Failure(exitCodes.usage, message)
}

/** The system's code of an error, for example `EACCES`; its message where there is none. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : error.message
}
