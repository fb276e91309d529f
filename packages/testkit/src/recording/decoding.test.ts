import { readdirSync } from 'node:fs'
import { decodeClientFrame, decodeServerFrame, type Message, type Version } from '@tidewire/protocol'
import { describe, expect, test } from 'vitest'
import { loadTranscript, versionOf, type RecordedFrame, type StepOf, type Transcript } from './transcript.ts'

const names = readdirSync(new URL('../../transcripts/', import.meta.url))
  .filter((file) => file.endsWith('.jsonl'))
  .map((file) => file.slice(0, -'.jsonl'.length))

/**
 * Frames that the reference itself writes wrongly: a payload marked as JSON that is none, passed on unseen (and spliced
 * into text for version 1.0.0), an opaque broadcast turned into text, and a topic that is a number.
 */
const WRONG: Readonly<Record<string, readonly number[]>> = { v2_binary_frames: [32, 33, 34, 69], v1_malformed_frames: [15] }

/** Frames from clients that the reference drops without a word. */
const DROPPED: Readonly<Record<string, readonly number[]>> = {
  v1_malformed_frames: [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 27, 28, 32],
  // Truncated, of an unknown kind, empty, a kind that only servers send, and binary on a socket of version 1.0.0.
  v2_binary_frames: [57, 59, 61, 63, 81],
}

/** What made the reference write those wrong frames: our decoder refuses it, as it does any malformed frame. */
const REFUSED_BY_US: Readonly<Record<string, readonly number[]>> = { v2_binary_frames: [31], v1_malformed_frames: [14] }

function versions({ steps }: Transcript): Map<string, Version> {
  return new Map(steps.flatMap((step) => (step.kind === 'open' ? [[step.client, versionOf(step.url)] as const] : [])))
}

function framesOf<Kind extends 'send' | 'receive'>(transcript: Transcript, kind: Kind): readonly StepOf<Kind>[] {
  return transcript.steps.filter((step): step is StepOf<Kind> => step.kind === kind)
}

/** The message that a text frame says, read without our decoder. */
function saidByText(version: Version, frame: string): Pick<Message, 'joinRef' | 'ref' | 'topic' | 'event' | 'payload'> {
  if (version === '2.0.0') {
    const [joinRef, ref, topic, event, payload] = JSON.parse(frame) as [string, string, string, string, unknown]
    return { joinRef, ref, topic, event, payload }
  }
  const { join_ref: joinRef = null, ref, topic, event, payload } = JSON.parse(frame) as Message & { join_ref?: string | null }
  return { joinRef, ref, topic, event, payload }
}

describe.each(names)('%s', (name) => {
  const transcript = loadTranscript(name)
  const version = versions(transcript)

  test('what the server sent is read by our client', () => {
    const refused: number[] = []
    for (const { line, client, frame } of framesOf(transcript, 'receive')) {
      const decoded = decodeServerFrame(version.get(client)!, frame)
      if (!decoded.ok) refused.push(line)
      else if (typeof frame === 'string') expect(decoded.value).toEqual(saidByText(version.get(client)!, frame))
      else expect(decoded.value).toEqual(saidByBinary(frame))
    }
    expect(refused).toEqual(WRONG[name] ?? [])
  })

  test('what clients sent is read by our server as the reference treated it', () => {
    const refused: number[] = []
    for (const { line, client, frame, asText } of framesOf(transcript, 'send')) {
      const decoded = decodeClientFrame(version.get(client)!, Buffer.from(frame as string), !asText)
      if (!decoded.ok) refused.push(line)
      else if (typeof frame === 'string') {
        const { payload, ...envelope } = decoded.value
        const { payload: said, ...saidEnvelope } = saidByText(version.get(client)!, frame)
        expect(envelope).toEqual(saidEnvelope)
        if (frame.length < 10_000) expect(payload).toMatchObject({ kind: 'json', value: said })
        if (payload.kind === 'json' && frame.length < 10_000) expect(JSON.parse(Buffer.from(payload.bytes).toString())).toEqual(said)
      }
    }
    expect(refused).toEqual([...(DROPPED[name] ?? []), ...(REFUSED_BY_US[name] ?? [])].toSorted((a, b) => a - b))
  })
})

/** Kinds 2 and 4, the only ones in the recordings. */
function saidByBinary(frame: RecordedFrame): unknown {
  const bytes = Buffer.from(frame as Uint8Array)
  const [kind, topicSize, eventSize] = bytes as unknown as [number, number, number]
  const header = kind === 4 ? 5 : 3
  const topic = bytes.toString('utf8', header, header + topicSize)
  const event = bytes.toString('utf8', header + topicSize, header + topicSize + eventSize)
  const rest = bytes.subarray(header + topicSize + eventSize)
  const base = { joinRef: null, ref: null, topic }
  if (kind === 2) return { ...base, event, payload: new Uint8Array(rest).buffer }
  const meta = rest.toString('utf8', 0, bytes[3])
  const data = rest.subarray(bytes[3])
  const payload: unknown = bytes[4] === 1 ? JSON.parse(data.toString()) : new Uint8Array(data).buffer
  return {
    ...base,
    event: 'broadcast',
    payload: { type: 'broadcast', event, payload, ...(meta === '' ? {} : { meta: JSON.parse(meta) as unknown }) },
  }
}
