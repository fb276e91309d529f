import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A runtime that the client is tested on, beside the Node that runs the tests. */
export interface OtherRuntime {
  /** For people, such as `Node 22`. */
  readonly title: string
  /** The folder of its package in {@link runtimesFolder}. */
  readonly name: string
  /** The npm package that brings the program for this machine, with a range. */
  readonly package: string
  /** Where the program is, once it is installed. */
  readonly path: string
}

/** Where `npm test` keeps the runtimes. They are large, and no dependencies: only these tests need them. */
export const runtimesFolder: string = fileURLToPath(new URL('../../../../.runtimes/', import.meta.url))

/** All runtimes that the client is tested on, installed or not. */
export const otherRuntimes: readonly OtherRuntime[] = [...['20', '22', '24'].filter((major) => major !== ownMajor()).map(nodeOf), bun()]

/** The runtimes that are installed: `describe.each(installedRuntimes())`. */
export function installedRuntimes(): readonly OtherRuntime[] {
  return otherRuntimes.filter(({ path }) => existsSync(path))
}

function nodeOf(major: string): OtherRuntime {
  const system = process.platform === 'win32' ? 'win' : process.platform
  return runtime(`Node ${major}`, `node-${major}`, `node-${system}-${process.arch}@${major}`, 'node')
}

function bun(): OtherRuntime {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  return runtime('Bun', 'bun', `@oven/bun-${system}-${process.arch === 'arm64' ? 'aarch64' : process.arch}@1.4`, 'bun')
}

function runtime(title: string, name: string, from: string, program: string): OtherRuntime {
  const file = process.platform === 'win32' ? `${program}.exe` : program
  return { title, name, package: from, path: join(runtimesFolder, 'node_modules', name, 'bin', file) }
}

function ownMajor(): string {
  return process.versions.node.split('.')[0]!
}
