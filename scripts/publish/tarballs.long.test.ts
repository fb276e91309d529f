/** What would be published, looked at as it would arrive. Needs the build. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packTarballs, publishedFolders, unpackTarball, type PublishedFolder, type Tarball } from './tarballs.ts'

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, unknown>>
}

const packages = new URL('../../packages/', import.meta.url)
const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(new URL(`${folder}/package.json`, packages), 'utf8')) as Manifest
/** These are for `import` and `require`; the others are modules only. */
const dual: readonly string[] = ['client', 'react']

const folder = mkdtempSync(join(tmpdir(), 'tidewire-tarballs-'))
let tarballs: Record<PublishedFolder, Tarball>

beforeAll(() => {
  tarballs = packTarballs(publishedFolders, folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(publishedFolders)('%s', (name) => {
  test('publint finds nothing', async () => {
    const { messages } = await publint({ pack: { tarball: bytesOf(tarballs[name]) }, level: 'suggestion', strict: true })
    expect(messages).toEqual([])
  })

  // The command has no types: no program imports it.
  const typed = name === 'cli' ? [] : [name]
  test.each(typed)('the types of %s are right wherever they are asked for', async () => {
    const result = await checkPackage(createPackageFromTarballData(new Uint8Array(bytesOf(tarballs[name]))))
    if (result.types === false) throw new Error('no types')
    const asked = dual.includes(name) ? ['node10', 'node16-cjs', 'node16-esm', 'bundler'] : ['node16-esm', 'bundler']
    const problems = result.problems.filter((problem) => !('resolutionKind' in problem) || asked.includes(problem.resolutionKind))
    expect(problems).toEqual([])
    for (const kind of asked) expect(result.entrypoints['.']?.resolutions[kind as 'bundler'].resolution?.fileName).toMatch(/\.d\.ts$/)
  })

  test('holds what is needed to use it and nothing else, and depends only on what is published', () => {
    const { files } = tarballs[name]
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']))
    expect(files.filter((file) => /(^|\/)(src|test)\/|\.test\.|\.test-d\.|tsbuildinfo|\.(key|pem|env)$/.test(file))).toEqual([])
    const { dependencies = {}, peerDependencies = {} } = manifestOf(name)
    const ours = Object.keys({ ...dependencies, ...peerDependencies }).filter((dependency) => dependency.startsWith('@tidewire/'))
    expect(publishedFolders.map((published) => `@tidewire/${published}`)).toEqual(expect.arrayContaining(ours))
  })
})

test('the client depends on nothing', () => {
  const { dependencies, peerDependencies } = manifestOf('client')
  expect([dependencies, Object.keys(peerDependencies ?? {})]).toEqual([undefined, ['ws']])
})

describe('in a project that has installed the tarballs', () => {
  const project = join(folder, 'project')
  const require = createRequire(import.meta.url)
  const linked = (name: string): void => symlinkSync(dirname(require.resolve(`${name}/package.json`)), join(project, 'node_modules', name))

  beforeAll(() => {
    unpackTarball(tarballs.client, project)
    unpackTarball(tarballs.react, project)
    mkdirSync(join(project, 'node_modules', '@types'))
    for (const name of ['react', '@types/react', 'csstype']) linked(name)
  })

  test.each(['module', 'commonjs'] as const)('TypeScript compiles a strict program of type %s, declarations checked as well', (type) => {
    const at = join(project, type)
    mkdirSync(at)
    writeFileSync(join(at, 'package.json'), JSON.stringify({ type }))
    writeFileSync(
      join(at, 'program.ts'),
      `import { RealtimeClient, RealtimeError, REALTIME_SUBSCRIBE_STATES, type RealtimePostgresChangesPayload } from '@tidewire/client'
       import { RealtimeProvider, useChannel } from '@tidewire/react'
       const client = new RealtimeClient('ws://127.0.0.1', { apikey: 'k' })
       const room = client.channel<{ move: { x: number } }>('room')
       room.onBroadcast('move', ({ payload }) => payload.x.toFixed())
       // @ts-expect-error: there is no such field
       room.onBroadcast('move', ({ payload }) => payload.y)
       room.subscribe((status) => status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED)
       export const change: RealtimePostgresChangesPayload<{ id: number }> | null = null
       export const code = (error: unknown): string => (error instanceof RealtimeError ? error.code : '')
       export { RealtimeProvider, useChannel }`,
    )
    const compilerOptions = { module: 'nodenext', target: 'es2022', lib: ['es2023', 'dom'], strict: true, noEmit: true, types: [] }
    writeFileSync(join(at, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }))
    const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc')
    expect(outcome([tsc, '-p', at])).toEqual({ status: 0, output: '' })
  })

  /** Connects where something is lacking, and prints the names of the client and what the channel was notified of. */
  const program = (client: string, lacking: string): string => `
    delete globalThis.${lacking}
    const names = Object.keys(${client}).filter((name) => name !== 'default' && name !== 'module.exports').sort()
    const client = new ${client}.RealtimeClient('ws://127.0.0.1:9', { apikey: 'k' })
    client.channel('room').subscribe((status, { code, retryable, message }) => {
      console.log(JSON.stringify({ names, status, code, retryable, message }))
      client.disconnect()
    })`
  const imported = (lacking: string): Outcome =>
    outcome(['--input-type=module', '-e', `import * as Client from '@tidewire/client'; ${program('Client', lacking)}`], project)
  const required = (lacking: string): Outcome =>
    outcome(['--input-type=commonjs', '-e', `const Client = require('@tidewire/client'); ${program('Client', lacking)}`], project)

  test('Node imports and requires it, and finds every name', () => {
    const { status, output } = imported('WebSocket')
    expect(status).toBe(0)
    expect((JSON.parse(output) as { names: string[] }).names).toEqual([
      ...['REALTIME_CHANNEL_STATES', 'REALTIME_LISTEN_TYPES', 'REALTIME_POSTGRES_CHANGES_LISTEN_EVENT', 'REALTIME_PRESENCE_LISTEN_EVENTS'],
      ...['REALTIME_SUBSCRIBE_STATES', 'RealtimeChannel', 'RealtimeClient', 'RealtimeError', 'RealtimePostgresFilterBuilder'],
      ...['RealtimePresence', 'WebSocketFactory', 'postgresChangesFilter', 'wakeWithApp'],
    ])
    expect(required('WebSocket')).toEqual({ status, output })
  })

  test.each(['WebSocket', 'TextDecoder'])('without %s only connecting fails, and says so once', (lacking) => {
    const { status, output } = imported(lacking)
    expect({ status, printed: JSON.parse(output) as object }).toEqual({
      status: 0,
      printed: expect.objectContaining({
        status: 'CHANNEL_ERROR',
        code: 'no-transport',
        retryable: false,
        message: expect.stringContaining(`no ${lacking}`),
      }),
    })
  })
})

function bytesOf({ path }: Tarball): ArrayBuffer {
  const bytes = readFileSync(path)
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
}

interface Outcome {
  readonly status: number
  readonly output: string
}

function outcome(args: readonly string[], cwd: string = fileURLToPath(packages)): Outcome {
  try {
    return { status: 0, output: execFileSync(process.execPath, args, { cwd, encoding: 'utf8', stdio: 'pipe', timeout: 60_000 }) }
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string }
    return { status, output: `${stdout}${stderr}` }
  }
}
