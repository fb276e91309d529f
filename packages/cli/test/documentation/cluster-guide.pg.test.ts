/** What the page about many nodes says to do: its files, with other ports and secrets, and its commands, as child processes on one machine. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import { freePort, NatsServer, natsServerPath } from '@tidewire/testkit'
import { afterAll, expect, test } from 'vitest'
import { signJwt } from '../../src/jwt.ts'
import { readEnvironment } from '../../src/start/environment.ts'
import { CliSandbox, type CliProcess } from '../cli-process.ts'
import { commandsOf } from './page-run.ts'
import { pathOf, runPages } from './pages.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']
const page = runPages().find(({ path }) => path === 'docs/cluster.md')!
const NODES = ['node-1', 'node-2', 'node-3'] as const

const sandbox = new CliSandbox()
let postgres: EmbeddedPostgres | null = null
let nats: NatsServer | null = null
afterAll(async () => {
  await sandbox.stopAll()
  await nats?.close()
  // Its data is in the folder of the others.
  await postgres?.stop()
  await sandbox.clear()
})

function blockOf(info: string, heading = ''): string {
  const found = page.blocks.find((block) => block.info === info && (heading === '' || block.heading === heading))
  if (found === undefined) throw new Error(`the page has no ${info} under ${heading}`)
  return found.code
}

function commandsUnder(heading: string): string[] {
  return page.blocks.filter((block) => block.heading === heading && block.language === 'sh').flatMap(({ code }) => commandsOf(code))
}

function variablesOf(code: string): Record<string, string> {
  const pairs = code.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])
  return Object.fromEntries(pairs) as Record<string, string>
}

test.skipIf(natsServerPath() === undefined)(
  'three nodes, step by step, and their rolling restart',
  async () => {
    const password = 'a-password-for-this-test'
    const authorization = blockOf('nats.conf')
      .replace(/^listen: .*\n/, '')
      .replace('…', password)
    ;[postgres, nats] = await Promise.all([
      startEmbeddedPostgres({ installation, dataDir: join(sandbox.folder, 'postgres'), settings: { fsync: 'off' } }),
      NatsServer.start(authorization),
    ])
    const common = {
      ...variablesOf(blockOf('common.env')),
      API_JWT_SECRET: 'a-secret-that-is-only-for-these-tests',
      METRICS_JWT_SECRET: 'another-secret-that-reads-metrics',
      TIDEWIRE_ADMIN_SECRET: 'another-secret-for-the-inspector',
      DATABASE_URL: postgres.url,
      TIDEWIRE_NATS_URL: nats.url,
      TIDEWIRE_NATS_PASSWORD: password,
      // Of a balancer, which is not here.
      TIDEWIRE_DRAIN_DELAY_MS: '100',
    }
    const [, unit = ''] = /^Environment=(.*)$/m.exec(blockOf('systemd')) ?? []
    const ports = new Map<string, number>()
    const running = new Map<string, CliProcess>()
    const start = (node: string): void => {
      const own = variablesOf(blockOf(`${node}.env`))
      const env = { ...common, ...variablesOf(unit.replaceAll(' ', '\n')), ...own, PORT: String(ports.get(own['PORT']!)) }
      running.set(node, sandbox.start(['start'], { env }))
    }
    mkdirSync(join(sandbox.folder, 'bin'))
    symlinkSync(pathOf('packages/cli/bin/tidewire.js'), join(sandbox.folder, 'bin', 'tidewire'))
    for (const port of ['4001', '4002', '4003']) ports.set(port, await freePort())
    const placed = (line: string): string => line.replaceAll(/\b400[123]\b/g, (port) => String(ports.get(port)))

    const follow = async (line: string): Promise<string> => {
      const [, verb, units] = /^systemctl (enable --now|restart) (.*)$/.exec(line) ?? []
      if (units === undefined) return shell(placed(line), common)
      for (const [, node] of units.matchAll(/tidewire@(\S+)/g)) {
        if (verb === 'restart') expect((await running.get(node!)!.stop('SIGTERM')).code).toBe(0)
        start(node!)
      }
      return ''
    }
    const steps = commandsUnder('Three nodes, step by step').filter((line) => !line.startsWith('nats-server '))
    const outputs = new Map<string, string>()
    for (const line of steps) {
      // A reader takes longer to type than a node to start.
      outputs.set(line, await follow(line.replace('curl -fsS', 'curl -fsS --retry 30 --retry-delay 1 --retry-all-errors')))
    }
    for (const [line, output] of outputs) {
      if (line.startsWith('curl')) expect(output).toBe('ok')
      if (line.startsWith('tidewire nodes')) expect(namesIn(output)).toEqual(NODES)
      if (line.startsWith('tidewire doctor')) expect(output).toContain('nats')
    }
    const scraped = await fetch(`http://127.0.0.1:${ports.get('4001')}/metrics`, {
      headers: { authorization: `Bearer ${await signJwt({}, common.METRICS_JWT_SECRET)}` },
    })
    expect(unknownMetrics(await scraped.text())).toEqual([])

    const restarts = commandsUnder('Restarts and upgrades')
    expect(restarts.filter((line) => line.startsWith('systemctl restart'))).toHaveLength(3)
    let last = ''
    for (const line of restarts) last = await follow(line)
    expect(namesIn(last).toSorted()).toEqual(NODES)
  },
  60_000,
)

/** What alert rules of the pages ask for, and these metrics have not: a rule over a name that is not there never fires. */
function unknownMetrics(text: string): string[] {
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name!, type!]))
  const series = [...types].flatMap(([name, type]) =>
    type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => name + suffix) : [name],
  )
  // Without workers there are none of theirs: the test of workers reads them.
  const known = new Set([...series, 'tidewire_worker_up', 'tidewire_worker_restarts_total'])
  const rules = ['docs/server.md', 'docs/cluster.md'].flatMap((path) => [
    ...runPages()
      .find((each) => each.path === path)!
      .text.matchAll(/^ +expr: (.*)$/gm),
  ])
  expect(rules.length).toBeGreaterThan(10)
  return rules.flatMap(([, rule]) => rule!.match(/\b(?:tidewire|nodejs|phoenix|realtime)_\w+/g) ?? []).filter((name) => !known.has(name))
}

test('the compose file gives each node variables that `start` takes', () => {
  const compose = blockOf('compose.yaml')
  const given = Object.fromEntries(
    [...compose.slice(0, compose.indexOf('services:')).matchAll(/^ {4}([A-Z_]+): "?(.*?)"?$/gm)].map(([, name, value]) => [name, value]),
  )
  expect(Object.keys(given)).toContain('TIDEWIRE_NATS_URL')
  for (const node of NODES) expect(compose).toContain(`TIDEWIRE_NODE_NAME: ${node} `)
  const values = {
    ...given,
    API_JWT_SECRET: 'for this test only, and long enough',
    TIDEWIRE_ADMIN_SECRET: 'for this test too, and not the same text',
    DATABASE_URL: 'postgres://postgres:x@postgres:5432/postgres',
  }
  expect(readEnvironment({ ...values, TIDEWIRE_NODE_NAME: 'node-1' })).toMatchObject({ ok: true, configuration: { warnings: [] } })
})

test('services have the time to stop that their drain takes', () => {
  const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(blockOf('systemd'))![1])
  const { TIDEWIRE_DRAIN_DELAY_MS: delay, TIDEWIRE_DRAIN_TIMEOUT_MS: timeout } = variablesOf(blockOf('common.env'))
  expect(seconds * 1_000).toBeGreaterThanOrEqual(Number(delay) + Number(timeout) + 5_000)
  expect(blockOf('compose.yaml')).toContain(`stop_grace_period: ${seconds}s`)
})

function namesIn(table: string): string[] {
  return table
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split(/[ *]+/)[0]!)
}

/** Rejects when the command fails. */
async function shell(line: string, env: Readonly<Record<string, string>>): Promise<string> {
  const path = `${join(sandbox.folder, 'bin')}:${process.env['PATH'] ?? ''}`
  const child = spawn('sh', ['-ec', line], { cwd: sandbox.folder, env: { ...env, PATH: path, HOME: sandbox.folder, NO_COLOR: '1' } })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()))
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()))
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`${line} ended with ${code}:\n${stdout}${stderr}`)
  return stdout
}
