import { mkdirSync, writeFileSync } from 'node:fs'
import { transformSync } from 'esbuild'
import type { DocsServer } from './docs-server.ts'
import type { Block } from './markdown.ts'
import { pathOf, programOf, type Page } from './pages.ts'
import { RunningBlock } from './running-block.ts'

/** How a block is checked; `null`: not here. */
export type Check = 'run' | 'output' | 'result' | 'parse' | null

/** Commands that go on until they are ended. */
const GOES_ON = /^(npx )?tidewire (listen|presence)\b(?!.*--count)/
/** Sends something to all listeners. */
const SENDS = /^(npx )?tidewire send (\S+) (\S+)/
/** What a reader starts once, before all pages. */
const SERVES = /^(npx )?tidewire (dev|start)\b/

export function checkOf({ language, info, code }: Block): Check {
  if (info === 'no-run' || info === 'bare') return null
  if (language === 'text') return info === 'output' || info === 'result' ? info : null
  if (language === 'json') return 'parse'
  if (language === 'ts' || language === 'sql') return 'run'
  return language === 'sh' && /^(npx tidewire|tidewire|curl) /m.test(code) && !commandsOf(code).some((line) => SERVES.test(line))
    ? 'run'
    : null
}

/** A page's blocks, one after the other. Programs go on until the page ends, so that a later block can make them print. */
export class PageRun {
  readonly #server: DocsServer
  readonly #page: Page
  readonly #started: RunningBlock[] = []
  /** What prints `output`, and what printed a `result`. */
  #program: RunningBlock | null = null
  #command: RunningBlock | null = null

  constructor(server: DocsServer, page: Page) {
    this.#server = server
    this.#page = page
  }

  async run(block: Block): Promise<void> {
    switch (block.language) {
      case 'ts':
        this.#program = this.#start(process.execPath, [this.#compiled(block)])
        return this.#program.done()
      case 'sql':
        for (const statement of statementsOf(block.code)) await this.#server.sql(statement)
        return
      case 'sh':
        return this.#runCommand(block)
      default:
        throw new Error(`nothing runs ${block.language}`)
    }
  }

  /**
   * Lines of the page, and as many or more that came next: as `output` from the last module, or command that goes on; as
   * `result` from the last command that ended. A `…` of the page stands for anything, and so does a time of day.
   */
  async printed({ code, info }: Block): Promise<{ readonly printed: string[]; readonly expected: string[] }> {
    const expected = code.split('\n')
    const program = info === 'result' ? this.#command : this.#program
    if (program === null) throw new Error('nothing was started that could print this')
    const printed = await program.printed(expected.length)
    return { expected, printed: printed.map((line, at) => (fits(line, expected[at]) ? expected[at]! : line)) }
  }

  async end(): Promise<void> {
    for (const program of this.#started.splice(0)) await program.stop()
    await this.#server.clean()
  }

  #compiled(block: Block): string {
    const folder = pathOf(`node_modules/.cache/documentation/run/${this.#page.path.replaceAll('/', '-')}`)
    mkdirSync(folder, { recursive: true })
    const file = `${folder}/line-${block.line}.mjs`
    const { code } = transformSync(this.#server.placed(programOf(this.#page, block)), { loader: 'ts', target: 'node20' })
    writeFileSync(file, `${code}\nprocess.send('done')\n`)
    return file
  }

  async #runCommand({ code }: Block): Promise<void> {
    const placed = this.#server.placed(code)
    const [first = '', ...more] = commandsOf(placed)
    if (GOES_ON.test(first) && more.length === 0) {
      this.#program = this.#start('sh', ['-c', `exec ${first.replace(/^npx /, '')}`])
      return this.#program.begun()
    }
    this.#command = this.#start('sh', ['-ec', placed])
    await this.#command.ended()
    for (const command of commandsOf(placed)) await this.#heard(command)
  }

  /** A send succeeds without listeners, too: that it arrives is seen where the page listens. */
  async #heard(command: string): Promise<void> {
    const [, , topic, event] = SENDS.exec(command) ?? []
    if (topic === undefined || event === undefined) return
    if (this.#program === null) throw new Error(`nothing on this page listens to ${topic}`)
    await this.#program.says(event)
  }

  #start(command: string, args: readonly string[]): RunningBlock {
    const program = new RunningBlock(command, args, { cwd: this.#server.folder, env: this.#server.env })
    this.#started.push(program)
    return program
  }
}

/** A line each, without comments. */
export function commandsOf(code: string): string[] {
  return code
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s)# .*$/, '').trim())
    .filter((line) => line !== '')
}

/** `alter system` may not stand beside others. */
function statementsOf(code: string): string[] {
  const isLineEach = code.split('\n').every((line) => line.endsWith(';'))
  return isLineEach ? code.split('\n') : [code]
}

function fits(line: string, expected = ''): boolean {
  const escaped = expected.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*')
  return new RegExp(`^${escaped.replaceAll(/\d\d:\d\d:\d\d/g, '\\d\\d:\\d\\d:\\d\\d')}$`).test(line)
}
