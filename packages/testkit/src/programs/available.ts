import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * A Chromium (or Chrome, or Edge) that tests may start, or `undefined`: `describe.skipIf(chromiumPath() === undefined)`.
 * `npm test` says in TIDEWIRE_CHROMIUM what it found, empty for none; otherwise CHROMIUM_PATH and the usual places are
 * looked at.
 */
export function chromiumPath(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return fromEnvironment(env['TIDEWIRE_CHROMIUM'], () => [env['CHROMIUM_PATH'] ?? '', ...chromiumPlaces(env)].find(isFile))
}

/**
 * What playwright needs to start that Chromium. A browser refuses its sandbox to root, so it is off there.
 * Throws when there is no Chromium.
 */
export function chromiumLaunchOptions(): { executablePath: string; args: string[] } {
  const executablePath = chromiumPath()
  if (executablePath === undefined) throw new Error('no Chromium on this machine: set CHROMIUM_PATH')
  return { executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] }
}

/**
 * A Python with the package `realtime`, or `undefined`. `npm test` makes it in `.venv/` and says in TIDEWIRE_PYTHON
 * where it is, empty for none.
 */
export function pythonPath(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return fromEnvironment(env['TIDEWIRE_PYTHON'], () => [pythonOf(pythonFolder)].find(isFile))
}

/** Where `npm test` keeps its Python environment. */
export const pythonFolder: string = fileURLToPath(new URL('../../../../.venv/', import.meta.url))

/** The interpreter of a virtual environment. */
export function pythonOf(folder: string): string {
  return process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python')
}

/** A program on the path, or where Debian keeps servers; `undefined` when it is not installed. */
export function programPath(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  return [...(env['PATH'] ?? '').split(delimiter), '/usr/sbin'].map((folder) => join(folder, name)).find(isFile)
}

function fromEnvironment(answer: string | undefined, look: () => string | undefined): string | undefined {
  if (answer === undefined) return look()
  return answer === '' ? undefined : answer
}

function isFile(path: string): boolean {
  return path !== '' && existsSync(path)
}

function chromiumPlaces(env: NodeJS.ProcessEnv): string[] {
  if (process.platform === 'win32') {
    const bases = [env['ProgramFiles'], env['ProgramFiles(x86)'], env['LOCALAPPDATA']].filter((base) => base !== undefined)
    const programs = [
      ['Google', 'Chrome', 'Application', 'chrome.exe'],
      ['Chromium', 'Application', 'chrome.exe'],
      ['Microsoft', 'Edge', 'Application', 'msedge.exe'],
    ]
    return programs.flatMap((program) => bases.map((base) => join(base, ...program)))
  }
  if (process.platform === 'darwin')
    return ['Google Chrome', 'Chromium', 'Microsoft Edge'].map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`)
  return ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome-stable', '/usr/bin/google-chrome', '/snap/bin/chromium']
}
