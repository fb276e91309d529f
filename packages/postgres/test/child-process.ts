import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** A TypeScript program of this folder in a process of its own, which tests may kill. */
export interface TestProcess {
  readonly pid: number
  /** The next line that the program writes; rejects when it ends without one. */
  line(): Promise<string>
  /** Ends the process with `signal` and waits until it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Resolves with the exit code (or the signal) once the process is gone. */
  readonly ended: Promise<number | NodeJS.Signals | null>
}

export function startProcess(file: string, args: readonly string[], account?: { readonly uid: number; readonly gid: number }): TestProcess {
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(new URL(file, import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: {
      ...process.env,
      TSX_TSCONFIG_PATH: fileURLToPath(new URL('tsconfig.json', import.meta.url)),
      ...(account === undefined ? {} : { TSX_DISABLE_CACHE: '1' }),
    },
    ...(account ?? {}),
  })
  const ended = once(child, 'exit').then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals | null)
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  return {
    pid: child.pid!,
    line: async () => {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${file} ended without a word`)
      return value
    },
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal)
      await ended
    },
    ended,
  }
}
