import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import type { Core } from './child.ts'

/** The machine, commit and packages of the figures. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly system: string
  readonly node: string
  readonly commit: string
  readonly packages: readonly string[]
}

export function describeMachine(packages: readonly string[] = ['ws', 'socket.io']): Machine {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    commit: commit(),
    packages: packages.map((name) => `${name} ${packageVersion(name)}`),
  }
}

/** One core for the server and another for the generator, where the system can hold a process to a core. */
export function chooseCores(): { readonly serverCore: Core; readonly generatorCore: Core } {
  const allowed = allowedCores()
  const [serverCore, generatorCore] = allowed
  if (serverCore === undefined || generatorCore === undefined || !answers('taskset', ['-c', String(serverCore), 'true']))
    return { serverCore: null, generatorCore: null }
  return { serverCore, generatorCore }
}

function allowedCores(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    return list.split(',').flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number)
      return Array.from({ length: last! - first! + 1 }, (_, index) => first! + index)
    })
  } catch {
    return []
  }
}

function commit(): string {
  const id = output('git', ['rev-parse', '--short=10', 'HEAD'])
  const changed = output('git', ['status', '--porcelain', '--untracked-files=no']) !== ''
  return id === '' ? 'unknown' : `${id}${changed ? ' with changes' : ''}`
}

function packageVersion(name: string): string {
  const url = import.meta.resolve(`${name}/package.json`)
  return (JSON.parse(readFileSync(new URL(url), 'utf8')) as { readonly version: string }).version
}

function answers(command: string, words: readonly string[]): boolean {
  try {
    execFileSync(command, words, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function output(command: string, words: readonly string[]): string {
  try {
    return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return ''
  }
}
