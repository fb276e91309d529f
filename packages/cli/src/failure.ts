/** What the command's exit codes mean. */
export const exitCodes = {
  ok: 0,
  /** It was asked for rightly and did not work: a port is taken, no server answers, a file cannot be written. */
  failure: 1,
  /** It was asked for wrongly: an unknown option, a value that cannot be, a bad configuration. */
  usage: 2,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Ends the command. The message is for the person at the terminal: what is wrong, and what to do about it. */
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

/** The word of the system for what went wrong, for example `EACCES`; the message where there is none. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : error.message
}
