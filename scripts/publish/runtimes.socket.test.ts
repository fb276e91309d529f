/** The published client on every runtime that is installed, against our server. Needs the build. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installedRuntimes, startNode, type RunningNode } from '@tidewire/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALL_IS_WELL, EVERYWHERE } from '../../packages/client/test/everywhere.ts'
import { packTarballs, unpackTarball } from './tarballs.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidewire-runtimes-'))
/** Node 20 has no WebSocket; the others must do without the package. */
const [withoutWs, withWs] = [join(folder, 'without-ws'), join(folder, 'with-ws')]
let server: RunningNode

const PROGRAM = `${EVERYWHERE}
  const [url, apikey] = process.argv.slice(2)
  everywhere(client, { url, apikey }).then((result) => console.log(JSON.stringify({ ...result, endedAt: Date.now() })))
`

beforeAll(async () => {
  const { client } = packTarballs(['client'], folder)
  for (const project of [withoutWs, withWs]) {
    unpackTarball(client, project)
    writeFileSync(join(project, 'program.mjs'), `import * as client from '@tidewire/client'\n${PROGRAM}`)
    writeFileSync(join(project, 'program.cjs'), `const client = require('@tidewire/client')\n${PROGRAM}`)
  }
  symlinkSync(fileURLToPath(new URL('../../node_modules/ws', import.meta.url)), join(withWs, 'node_modules', 'ws'))
  server = await startNode()
})

afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const own = { title: `Node ${process.versions.node.split('.')[0]}`, path: process.execPath }

describe.each([own, ...installedRuntimes()])('$title', ({ title, path }) => {
  const project = title === 'Node 20' ? withWs : withoutWs

  test.each(['program.mjs', 'program.cjs'])('%s does it all, and the process ends at once', async (program) => {
    const args = [join(project, program), server.socketUrl, server.anonKey]
    const { stdout, stderr } = await promisify(execFile)(path, args, { cwd: project, timeout: 15_000 })
    const { endedAt, ...result } = JSON.parse(stdout) as { endedAt: number }
    expect(result).toEqual(ALL_IS_WELL)
    expect(stderr).toBe('')
    expect(Date.now() - endedAt).toBeLessThan(5_000)
  })
})
