import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The packages that are published, each before those that need it. */
export const publishedFolders = ['protocol', 'client', 'react', 'server', 'postgres', 'nats', 'cli'] as const

export type PublishedFolder = (typeof publishedFolders)[number]

export interface Tarball {
  readonly name: string
  readonly path: string
  /** Paths inside of the package. */
  readonly files: readonly string[]
}

/** What `npm publish` would send of these packages, as built at the moment. */
export function packTarballs<Folder extends PublishedFolder>(folders: readonly Folder[], into: string): Record<Folder, Tarball> {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', into, ...folders.map((folder) => `./packages/${folder}`)]
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const output = execFileSync(npm, args, {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return Object.fromEntries(packedOf(output).map((packed, at) => [folders[at], tarballOf(packed, into)])) as Record<Folder, Tarball>
}

interface Packed {
  readonly name: string
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}

/** npm 12 gives an object by name where earlier ones give a list. */
function packedOf(output: string): Packed[] {
  return Object.values(JSON.parse(output) as Record<string, Packed>)
}

function tarballOf({ name, filename, files }: Packed, into: string): Tarball {
  return { name, path: join(into, filename), files: files.map(({ path }) => path) }
}

/** Installs without npm: unpacks into the `node_modules` of a project. */
export function unpackTarball({ name, path }: Tarball, project: string): void {
  const target = join(project, 'node_modules', name)
  mkdirSync(target, { recursive: true })
  execFileSync('tar', ['-xzf', path, '--strip-components=1', '-C', target])
}
