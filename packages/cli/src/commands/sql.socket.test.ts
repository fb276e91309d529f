import { afterEach, beforeEach, expect, test } from 'vitest'
import { CliSandbox } from '../../test/cli-process.ts'

let sandbox: CliSandbox
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => sandbox.clear())

test.each([[['sql']], [['sql', 'select 1', '--file', 'a.sql']]])('%j says neither or both of what it may run', async (args) => {
  expect(await sandbox.run(args)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('Give either statements, or - for stdin, or --file.'),
  })
})

test('a file that is not there is named', async () => {
  expect(await sandbox.run(['sql', '--file', 'none.sql'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Cannot read none.sql: ENOENT.'),
  })
})
