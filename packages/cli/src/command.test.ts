import { describe, expect, test } from 'vitest'
import { defineCommand, readArguments } from './command.ts'

const definitions = {
  topic: { type: 'positional', required: true },
  payload: { type: 'positional', required: false },
  port: { type: 'string' },
  host: { type: 'string', default: '127.0.0.1' },
  json: { type: 'boolean' },
  'no-db': { type: 'boolean' },
} as const

describe('readArguments', () => {
  const plain = { topic: 'room:1', payload: undefined, port: undefined, host: '127.0.0.1', json: false, 'no-db': false }
  test.each([
    [['room:1'], plain],
    [['room:1', '{}'], { ...plain, payload: '{}' }],
    [['--json', 'room:1', '--port', '1'], { ...plain, json: true, port: '1' }],
    [['room:1', '--port=1', '--host', 'h', '--no-db'], { ...plain, port: '1', host: 'h', 'no-db': true }],
    [['--', '--json'], { ...plain, topic: '--json' }],
    [['room:1', '-'], { ...plain, payload: '-' }],
  ])('%j', (rawArguments, values) => expect({ ...readArguments(rawArguments, definitions) }).toEqual(values))

  test.each([
    [[], 'TOPIC is missing.'],
    [['room:1', '--prot', '1'], "Unknown option '--prot'."],
    [['room:1', '-x'], "Unknown option '-x'."],
    [['room:1', '--port'], "Option '--port <value>' argument missing."],
    [['room:1', '--json=yes'], "Option '--json' does not take an argument."],
    [['room:1', '--port', '--json'], "Option '--port' argument is ambiguous."],
    [['room:1', '{}', 'more'], 'One argument too many: "more".'],
    [['room:1', '--no-json'], "Unknown option '--no-json'."],
  ])('%j is a wrong usage: %s', (rawArguments, message) => {
    expect(() => readArguments(rawArguments, definitions)).toThrow(expect.objectContaining({ exitCode: 2, message }))
  })

  test('names a missing option', () => {
    expect(() => readArguments([], { role: { type: 'string', required: true } })).toThrow('--role is missing.')
  })
})

test('the usage names every argument', async () => {
  const usage = await defineCommand({ name: 'try', description: 'Tries.', args: definitions, run: () => Promise.resolve(0) }).usage()
  for (const part of ['Tries.', 'tidewire try', 'TOPIC', 'PAYLOAD', '--port', '--host', '--json', '--no-db']) expect(usage).toContain(part)
})
