import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { Child, endWithUs } from '../child.ts'
import type { ServerMessage } from '../messages.ts'
import { median } from '../statistics.ts'
import { libraries, type FigureName, type Library, type Sample } from './figures.ts'

export interface ClientBenchOptions {
  readonly figures: readonly FigureName[]
  readonly rounds: number
  readonly quick: boolean
}

/** A server for the figures that need one. */
interface Target {
  readonly url: string
  readonly apiKey: string
}

const here = fileURLToPath(new URL('.', import.meta.url))
/** Processes start in a few milliseconds more or less: of several, the one in the middle. */
const IMPORTS_PER_ROUND = 5
const STEP_TIMEOUT_MS = 60_000

/** Measures both clients in turns, each figure of each in a process of its own. */
export async function benchClient({ figures, rounds, quick }: ClientBenchOptions): Promise<Sample[]> {
  const samples: Sample[] = []
  const server = new Child<ServerMessage>('./servers/tidewire.ts', null)
  try {
    const ready = await server.next(STEP_TIMEOUT_MS)
    if (ready.kind !== 'ready') throw new Error('the server did not start')
    const target = { url: `ws://127.0.0.1:${ready.port}/realtime/v1`, apiKey: ready.apiKey }
    for (let round = 0; round < rounds; round++)
      for (const figure of figures) {
        // Realtime-js keeps its process for ten seconds: once is enough to know. So is one look at a bundle.
        if (round > 0 && (figure === 'exit' || figure.startsWith('bundle'))) continue
        for (const library of round % 2 === 0 ? libraries : libraries.toReversed()) {
          const value = await measure(figure, library, target, quick)
          samples.push({ figure, library, round, value })
          console.error(`round ${round + 1}  ${figure.padEnd(14)} ${library.padEnd(22)} ${value.toFixed(3)}`)
        }
      }
  } finally {
    await server.stop()
  }
  return samples
}

async function measure(figure: FigureName, library: Library, target: Target, quick: boolean): Promise<number> {
  switch (figure) {
    case 'bundle':
      return bundleBytes(`export { RealtimeClient } from '${library}'`)
    case 'bundle-all':
      return bundleBytes(`export * from '${library}'`)
    case 'import':
      return importMs(library, quick ? 1 : IMPORTS_PER_ROUND)
    default:
      return probe(library, figure, target)
  }
}

/** What a page loads: bundled for browsers and ES2020, minified, gzipped as well as gzip can. */
async function bundleBytes(contents: string): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: here },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2020',
    platform: 'browser',
    legalComments: 'none',
    write: false,
  })
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length
}

/** In plain Node, without the loader that the other probes run under. */
async function importMs(library: Library, times: number): Promise<number> {
  const program = `const from = performance.now(); await import('${library}'); console.log(performance.now() - from)`
  const each: number[] = []
  for (let time = 0; time < times; time++) each.push((await valueOf(['--input-type=module', '-e', program])).value)
  return median(each)
}

async function probe(library: Library, figure: FigureName, { url, apiKey }: Target): Promise<number> {
  const node = ['--expose-gc', '--import', import.meta.resolve('tsx'), fileURLToPath(new URL('probe.ts', import.meta.url))]
  const { value, endedAfterMs } = await valueOf([...node, library, figure, url, apiKey])
  return figure === 'exit' ? endedAfterMs : value
}

/** Runs Node, and reads the number that it prints; and how long it stayed after that. */
async function valueOf(args: readonly string[]): Promise<{ readonly value: number; readonly endedAfterMs: number }> {
  const child = spawn(process.execPath, args, { cwd: here, stdio: ['ignore', 'pipe', 'inherit'], timeout: STEP_TIMEOUT_MS })
  endWithUs(child)
  let output = ''
  let printedAt = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    printedAt = performance.now()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  const value = Number.parseFloat(output)
  if (code !== 0 || Number.isNaN(value)) throw new Error(`${args.slice(-4).join(' ')} ended with ${code} and printed "${output}"`)
  return { value, endedAfterMs: performance.now() - printedAt }
}
