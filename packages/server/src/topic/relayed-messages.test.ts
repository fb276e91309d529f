import { describe, expect, test } from 'vitest'
import type { TopicMessage } from '../ports/topic.ts'
import { Envelopes } from './encoded-message.ts'

describe('a message of another node, or of the database, whose names are too long for a binary frame', () => {
  const bytes = Buffer.from('{}')
  const event = 'x'.repeat(300)
  const metadata = { id: 'y'.repeat(70_000) }
  test.each<[string, TopicMessage]>([
    ['opaque', { kind: 'opaque', event, bytes }],
    ['opaque, on a long topic', { kind: 'opaque', event: 'e', bytes }],
    ['opaque, the longest', { kind: 'opaque', event: 'x'.repeat(65_535), bytes }],
    ['user', { kind: 'user', broadcast: { event, metadata: null, encoding: 'json', bytes } }],
    ['user in binary', { kind: 'user', broadcast: { event, metadata: null, encoding: 'binary', bytes } }],
    ['metadata', { kind: 'user', broadcast: { event: 'e', metadata, encoding: 'binary', bytes } }],
    ['binary as text', { kind: 'user', broadcast: { event: 'e', metadata, encoding: 'binary', bytes }, asText: true }],
    ['text', { kind: 'text', event, payload: bytes }],
  ])('%s is encoded in another way, or left out, and nothing is thrown', (_, message) => {
    for (const topic of ['realtime:a', `realtime:${'t'.repeat(4_000)}`])
      for (const version of ['1.0.0', '2.0.0'] as const) expect(() => new Envelopes(topic).encode(version, message)).not.toThrow()
  })
})
