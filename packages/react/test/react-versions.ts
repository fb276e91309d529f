import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export interface ReactVersion {
  readonly major: 18 | 19
  /** A `node_modules` with this React in it; `undefined` where it could not be had. */
  readonly modules: string | undefined
}

const root = fileURLToPath(new URL('../../../', import.meta.url))
const folder = join(root, 'node_modules', '.cache', 'react-18')

/** The React of this workspace, and React 18, fetched once into a cache: the workspace can have only one of them. */
export async function reactVersions(): Promise<ReactVersion[]> {
  return [
    { major: 19, modules: join(root, 'node_modules') },
    { major: 18, modules: await fetchReact18() },
  ]
}

async function fetchReact18(): Promise<string | undefined> {
  const modules = join(folder, 'node_modules')
  if (existsSync(join(modules, 'react-dom', 'package.json'))) return modules
  const packages = ['react@18.3.1', 'react-dom@18.3.1']
  try {
    await promisify(execFile)(
      'npm',
      ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--fetch-retries=0', ...packages],
      { timeout: 60_000, shell: process.platform === 'win32' },
    )
    return modules
  } catch (error) {
    console.log(`React 18 is not tested: npm could not fetch it (${(error as Error).message.split('\n')[0]})`)
    return undefined
  }
}
