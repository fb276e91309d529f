import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PrivateFolder } from './private-folder.ts'
import { findServer, recordServer } from './running-server.ts'

const url = 'http://127.0.0.1:4000'
let project: string
let folder: PrivateFolder

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'tidewire-project-'))
  folder = new PrivateFolder(project)
})
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(project, { recursive: true, force: true })
})

const record = (content: unknown): void => folder.write('dev.json', JSON.stringify(content))

describe('findServer', () => {
  test('finds the server of this folder and of those below it, until it is taken back', () => {
    const below = join(project, 'a', 'b')
    mkdirSync(below, { recursive: true })
    const forget = recordServer(folder, { url })
    expect(findServer(project)?.server).toEqual({ url, pid: process.pid })
    expect(findServer(below)?.folder.path).toBe(folder.path)
    forget()
    expect(findServer(below)).toBeNull()
    forget()
  })

  test('prefers the nearest', () => {
    recordServer(folder, { url })
    const inner = new PrivateFolder(join(project, 'inner'))
    recordServer(inner, { url: 'http://127.0.0.1:5000' })
    expect(findServer(join(project, 'inner'))?.server.url).toBe('http://127.0.0.1:5000')
  })

  test.each([
    ['of a process that is gone', { url, pid: 2 ** 22 + 1 }],
    ['without a process', { url }],
    ['of every process', { url, pid: 0 }],
    ['of a group of processes', { url, pid: -1 }],
    ['without a URL', { url: 'nonsense', pid: process.pid }],
    ['that is no record', []],
  ])('passes over a record %s', (_, content) => {
    record(content)
    expect(findServer(project)).toBeNull()
  })

  test('passes over a damaged record, and one that is a folder', () => {
    folder.write('dev.json', '{"url":')
    expect(findServer(project)).toBeNull()
    folder.remove('dev.json')
    mkdirSync(join(folder.path, 'dev.json'))
    expect(findServer(project)).toBeNull()
  })

  test.skipIf(process.getuid === undefined)('passes over a record of another user', () => {
    recordServer(folder, { url })
    vi.spyOn(process, 'getuid').mockReturnValue(process.getuid!() + 1)
    expect(findServer(project)).toBeNull()
  })
})

test('a server takes back its own record only', () => {
  const forget = recordServer(folder, { url })
  record({ url: 'http://127.0.0.1:5000', pid: process.ppid })
  forget()
  expect(findServer(project)?.server.pid).toBe(process.ppid)
})

describe('files of the private folder', () => {
  test.skipIf(process.platform === 'win32')('belong to the owner alone, whatever was there before', () => {
    mkdirSync(folder.path, { mode: 0o777 })
    writeFileSync(join(folder.path, 'dev.json'), 'old', { mode: 0o666 })
    folder.write('dev.json', 'new')
    expect([statSync(folder.path).mode & 0o777, statSync(join(folder.path, 'dev.json')).mode & 0o777]).toEqual([0o700, 0o600])
    expect(folder.read('dev.json')).toBe('new')
  })

  test('are created once', () => {
    folder.create('keys.json', 'first')
    folder.create('keys.json', 'second')
    expect(folder.read('keys.json')).toBe('first')
    expect(folder.read('.gitignore')).toBe('*\n')
  })

  test('may be missing, with everything around them', () => {
    expect(folder.read('keys.json')).toBeNull()
    folder.remove('keys.json')
    expect(existsSync(folder.path)).toBe(false)
  })
})
