/**
 * Builds, unless nothing that the build reads has changed since it last succeeded. Says that it builds, since the first
 * time takes half a minute. Usage: tsx scripts/build-if-changed.ts
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root, run } from './child.ts'

const stampFile = join(root, 'node_modules/.cache/tidewire/build')
const products = ['cli/dist/main.js', 'client/dist/tidewire.js', 'cli/pages/inspector.html'].map((path) => join(root, 'packages', path))

const stamp = stampOf(['package-lock.json', 'tsconfig.base.json', 'tsconfig.packages.json', 'scripts', 'packages'])
if (!isBuilt()) {
  const from = performance.now()
  console.error(existsSync(stampFile) ? 'Building what has changed …' : 'Building Tidewire for the first time: about half a minute …')
  const { code } = run('npm', ['run', 'build', '--silent'])
  if (code === 0) {
    mkdirSync(dirname(stampFile), { recursive: true })
    writeFileSync(stampFile, stamp)
    console.error(`Built in ${((performance.now() - from) / 1000).toFixed(1)} s.`)
  } else process.exitCode = code
}

function isBuilt(): boolean {
  return products.every((path) => existsSync(path)) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp
}

/** Changes with the name, size and time of every file that the build reads. */
function stampOf(places: readonly string[]): string {
  const hash = createHash('sha256').update(process.version)
  const visit = (path: string): void => {
    const stats = statSync(path)
    if (!stats.isDirectory()) return void hash.update(`${path}\0${stats.size}\0${stats.mtimeMs}\n`)
    for (const name of readdirSync(path).sort())
      if (!['dist', 'node_modules', 'test', 'inspector.html'].includes(name) && !/\.(test|test-d)\.tsx?$|\.tsbuildinfo$/.test(name))
        visit(join(path, name))
  }
  for (const place of places) visit(join(root, place))
  return hash.digest('hex')
}
