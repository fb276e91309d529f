import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadTranscript, parseTranscript, versionOf } from './transcript.ts'

const names = readdirSync(new URL('../../transcripts/', import.meta.url))
  .filter((file) => file.endsWith('.jsonl'))
  .map((file) => file.slice(0, -'.jsonl'.length))

describe('the recordings', () => {
  test('are there', () => expect(names).toHaveLength(49))

  test.each(names)('%s is understood', (name) => {
    const { steps } = loadTranscript(name)
    expect(steps.length).toBeGreaterThan(3)
    const times = steps.map(({ tMs }) => tMs)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    const opened = new Set(steps.flatMap((step) => (step.kind === 'open' ? [step.client] : [])))
    for (const step of steps) if (step.kind === 'send' || step.kind === 'receive') expect(opened).toContain(step.client)
  })
})

test('long texts are filled up to their size', () => {
  const line = '{"dir":"c2s","t_ms":1,"c":"A","frame":{"head":"[\\"","fill":"ab","tail":"\\"]","bytes":10}}'
  expect(parseTranscript('made up', line).steps[0]).toMatchObject({ kind: 'send', frame: '["ababab"]', asText: true })
})

test('bytes are bytes, of a binary frame or of a text frame that is not UTF-8', () => {
  const lines = '{"dir":"c2s","t_ms":1,"c":"A","frame":{"base64":"AQ=="}}\n{"dir":"c2s","t_ms":1,"c":"A","frame":{"text_base64":"//4="}}'
  expect(parseTranscript('made up', lines).steps).toMatchObject([
    { frame: Buffer.from([1]), asText: false },
    { frame: Buffer.from([0xff, 0xfe]), asText: true },
  ])
})

test('a line that is not understood is refused', () => {
  expect(() => parseTranscript('x', '{"dir":"note","t_ms":1,"what":1}')).toThrow('x:1: not understood')
  expect(() => parseTranscript('x', '{"dir":"note","t_ms":1,"note":"a"}\n{"dir":"up"}')).toThrow('x:2: not understood')
})

test('the version of a socket is in its URL', () => {
  expect(versionOf('ws://h/socket/websocket?vsn=2.0.1')).toBe('2.0.0')
  expect(versionOf('ws://h/socket/websocket?vsn=1.0.0')).toBe('1.0.0')
  expect(versionOf('ws://h/socket/websocket')).toBe('1.0.0')
})
