import { readFileSync } from 'node:fs'
import { isJsonObject, type JsonObject, type Version } from '@tidewire/protocol'

/** A frame as it went over the wire: a text frame as a string, a binary one as bytes. */
export type RecordedFrame = string | Uint8Array

export interface RecordedRequest {
  readonly method: string
  /** Path and query; a token in it is masked. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: RecordedFrame | null
}

export interface RecordedResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a line of a recording says. `line` counts from 1. */
export type Step = { readonly line: number; readonly tMs: number } & (
  | { readonly kind: 'open'; readonly client: string; readonly url: string }
  | { readonly kind: 'opened'; readonly client: string }
  | { readonly kind: 'refused'; readonly client: string; readonly response: RecordedResponse }
  | { readonly kind: 'closed'; readonly client: string; readonly code: number; readonly reason: string; readonly by: 'client' | 'server' }
  | { readonly kind: 'send'; readonly client: string; readonly frame: RecordedFrame; readonly asText: boolean }
  | {
      readonly kind: 'receive'
      readonly client: string
      readonly frame: RecordedFrame
      /** Set by a deviation: the frame may come at any time once this line has been played. */
      readonly anytimeFrom?: number
    }
  | { readonly kind: 'request'; readonly label: string; readonly request: RecordedRequest; readonly response: RecordedResponse }
  | { readonly kind: 'sql'; readonly sql: string; readonly params: readonly unknown[] }
  /** `note` or `case`: what is being tried. */
  | { readonly kind: 'remark'; readonly text: string }
  /** What the recorder said about itself. */
  | { readonly kind: 'aside' }
)

export type StepOf<Kind extends Step['kind']> = Extract<Step, { readonly kind: Kind }>

export interface Transcript {
  readonly name: string
  /** Unix seconds at `tMs` 0. */
  readonly startedAt: number
  readonly steps: readonly Step[]
}

const FOLDER = new URL('../../transcripts/', import.meta.url)

/** The recordings were made within this hour; those in which the age of a token matters say their start themselves. */
const RECORDED_AT = 1795460000

/** Reads a recording of this package by its name. */
export function loadTranscript(name: string): Transcript {
  return parseTranscript(name, readFileSync(new URL(`${name}.jsonl`, FOLDER), 'utf8'))
}

/** Reads the lines of a recording. Throws for a line that it does not understand: recordings are ours. */
export function parseTranscript(name: string, text: string): Transcript {
  const steps: Step[] = []
  let startedAt = RECORDED_AT
  for (const [index, lineText] of text.split('\n').entries()) {
    if (lineText === '') continue
    const entry: unknown = JSON.parse(lineText)
    if (!isJsonObject(entry)) throw new TypeError(`${name}:${index + 1}: a line must be an object`)
    if (typeof entry['started'] === 'number') startedAt = entry['started']
    const step = stepOf(entry, index + 1)
    if (step === null) throw new TypeError(`${name}:${index + 1}: not understood: ${lineText.slice(0, 120)}`)
    steps.push(step)
  }
  return { name, startedAt, steps }
}

function stepOf(entry: JsonObject, line: number): Step | null {
  const at = { line, tMs: Number(entry['t_ms']) }
  const client = String(entry['c'])
  switch (entry['dir']) {
    case 'c2s':
      return { ...at, kind: 'send', client, frame: frameOf(entry['frame']), asText: isText(entry['frame']) }
    case 's2c':
      return { ...at, kind: 'receive', client, frame: frameOf(entry['frame']) }
    case 'note':
      return noteOf(entry, at, client)
    default:
      return null
  }
}

function noteOf(entry: JsonObject, at: { readonly line: number; readonly tMs: number }, client: string): Step | null {
  if (typeof entry['open'] === 'string') return { ...at, kind: 'open', client, url: entry['open'] }
  if (entry['opened'] === true) return { ...at, kind: 'opened', client }
  if (isJsonObject(entry['http'])) return { ...at, kind: 'refused', client, response: responseOf(entry['http']) }
  if (typeof entry['closed'] === 'number') {
    const code = entry['closed']
    const by = entry['by'] === 'server' || !(code === 1000 || code >= 4000) ? 'server' : 'client'
    return { ...at, kind: 'closed', client, code, reason: textOf(entry['reason']), by }
  }
  if (isJsonObject(entry['req']) && isJsonObject(entry['res']))
    return {
      ...at,
      kind: 'request',
      label: String(entry['label']),
      request: requestOf(entry['req']),
      response: responseOf(entry['res']),
    }
  if (typeof entry['sql'] === 'string')
    return { ...at, kind: 'sql', sql: entry['sql'], params: Array.isArray(entry['params']) ? (entry['params'] as unknown[]) : [] }
  const remark = entry['note'] ?? entry['case']
  if (typeof remark === 'string') return { ...at, kind: 'remark', text: remark }
  return ['error', 'idle_closed_after_ms', 'filters', 'sent', 'bReceived', 'joins_sent'].some((key) => key in entry)
    ? { ...at, kind: 'aside' }
    : null
}

function requestOf(req: JsonObject): RecordedRequest {
  return {
    method: String(req['method']),
    path: String(req['path']),
    headers: headersOf(req['headers']),
    body: req['body'] === undefined || req['body'] === null ? null : frameOf(req['body']),
  }
}

function responseOf(res: JsonObject): RecordedResponse {
  return { status: Number(res['status']), headers: headersOf(res['headers']), body: textOf(res['body']) }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function headersOf(headers: unknown): Record<string, string> {
  if (!isJsonObject(headers)) return {}
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]))
}

function isText(frame: unknown): boolean {
  return !isJsonObject(frame) || frame['base64'] === undefined
}

function frameOf(frame: unknown): RecordedFrame {
  if (typeof frame === 'string') return frame
  if (!isJsonObject(frame)) throw new TypeError('a frame must be a text or an object')
  const { base64, text_base64: textBase64, head, fill, tail, bytes } = frame
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64')
  if (typeof textBase64 === 'string') return Buffer.from(textBase64, 'base64')
  if (typeof head !== 'string' || typeof fill !== 'string' || typeof tail !== 'string' || typeof bytes !== 'number')
    throw new TypeError('a long text needs head, fill, tail and bytes')
  return head + fill.repeat((bytes - head.length - tail.length) / fill.length) + tail
}

/** The version that a recorded URL asks for. */
export function versionOf(url: string): Version {
  return new URL(url).searchParams.get('vsn')?.startsWith('2.') === true ? '2.0.0' : '1.0.0'
}
