import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('before the first build the command says what to do, in one sentence', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-bin-'))
  cpSync(fileURLToPath(new URL('../bin/tidewire.js', import.meta.url)), join(folder, 'bin', 'tidewire.mjs'), { recursive: true })
  const outcome = await new Promise((resolve) => {
    execFile(process.execPath, [join(folder, 'bin', 'tidewire.mjs'), 'dev'], (error, stdout, stderr) =>
      resolve({ code: error?.code, stdout, stderr }),
    )
  })
  rmSync(folder, { recursive: true, force: true })
  expect(outcome).toEqual({ code: 1, stdout: '', stderr: 'tidewire is not built yet: run `npm run build` first.\n' })
})
