import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root: string = fileURLToPath(new URL('..', import.meta.url))

export interface Outcome {
  readonly code: number
  /** What it printed, when it ran quietly. */
  readonly output: string
}

/** Runs a program to its end without a shell. Quietly: what it prints is kept instead of shown. Never throws. */
export function run(
  command: string,
  args: readonly string[],
  options: { quiet?: boolean; timeoutMs?: number; env?: NodeJS.ProcessEnv } = {},
): Outcome {
  const child = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...options.env },
    stdio: options.quiet === true ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    encoding: 'utf8',
    timeout: options.timeoutMs,
    windowsHide: true,
  })
  const output = options.quiet === true ? `${child.stdout ?? ''}${child.stderr ?? ''}` : ''
  return { code: child.status ?? 1, output: child.error === undefined ? output : `${output}${child.error.message}` }
}

/** Runs the command of an installed package, on this Node. */
export function runPackage(name: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv } = {}): Outcome {
  return run(process.execPath, [commandOf(name), ...args], options)
}

function commandOf(name: string): string {
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`)
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: string | Record<string, string> }
  const path = typeof bin === 'string' ? bin : (bin[name] ?? Object.values(bin)[0]!)
  return join(dirname(manifest), path)
}
