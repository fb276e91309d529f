/** Frames that are as heavy as the limits allow, and some that are over them: each kind of thing that costs more than its bytes. */

/** A frame of one kind, for a channel that has joined `topic` as `1`. */
export interface HostileFrame {
  readonly name: string
  readonly version: '1.0.0' | '2.0.0'
  /** The channel that is joined before; `null`: none. */
  readonly config: object | null
  readonly frame: (topic: string) => string | Buffer
  /** How often it is sent, one after the other. Default 1. */
  readonly times?: number
  /** Others that are joined to the topic before, and read. */
  readonly receivers?: number
  /** What others track on the topic before. */
  readonly tracked?: readonly string[]
  /** Sent over HTTP instead: as a batch, or as the payload of one message. */
  readonly http?: 'batch' | 'single'
  /** What the socket sends before, on the topic. */
  readonly before?: (topic: string) => string
  /** A row is written once it was answered, and what that costs is measured instead. */
  readonly thenRow?: boolean
}

const PAYLOAD_BYTES = 2_990_000
const FRAME_BYTES = 4_990_000

const filled = (head: string, part: (index: number) => string, tail: string, bytes: number): string => {
  const parts: string[] = []
  for (let size = head.length + tail.length, at = 0; ; at++) {
    const next = part(at)
    size += next.length + 1
    if (size > bytes) return head + parts.join(',') + tail
    parts.push(next)
  }
}

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const numbers = (bytes: number): string => filled('[', () => '1', ']', bytes)

const payloads: Readonly<Record<string, (bytes: number) => string>> = {
  'a text': (bytes) => `"${'a'.repeat(bytes - 2)}"`,
  'a text of two-byte letters': (bytes) => `"${'é'.repeat(bytes / 2 - 1)}"`,
  'a text of escapes': (bytes) => `"${String.raw`\u0041`.repeat(bytes / 6 - 1)}"`,
  'numbers of one digit': numbers,
  'numbers of many digits': (bytes) => filled('[', (at) => `1.2345678901234567e-${at % 300}`, ']', bytes),
  'empty lists': (bytes) => filled('[', () => '[]', ']', bytes),
  'keys, all different': (bytes) => filled('{', (at) => `"k${at}":1`, '}', bytes),
  'objects, all different': (bytes) => filled('[', (at) => `{"k${at}":1}`, ']', bytes),
  'lists, 500 deep': (bytes) => filled('[', () => nested(500), ']', bytes),
  'lists with white space': (bytes) => filled('[', () => '\n  [\n  ]', '\n]', bytes),
  'texts with escapes': (bytes) => filled('[', () => String.raw`"\"\n\u00e9"`, ']', bytes),
  'lists, deeper than is taken': (bytes) => nested(bytes / 2),
}

const v2 = (topic: string, event: string, payload: string, ref = '2'): string => `["1","${ref}","${topic}","${event}",${payload}]`
const broadcastOf = (content: string): string => `{"type":"broadcast","event":"e","payload":${content}}`

function broadcasts(): HostileFrame[] {
  return Object.entries(payloads).flatMap(([name, content]) => [
    {
      name: `broadcast: ${name}`,
      version: '2.0.0' as const,
      config: {},
      frame: (topic: string) => v2(topic, 'broadcast', broadcastOf(content(PAYLOAD_BYTES))),
    },
    {
      name: `broadcast, binary: ${name}`,
      version: '2.0.0' as const,
      config: {},
      frame: (topic: string) => kind3(topic, content(PAYLOAD_BYTES)),
    },
    {
      name: `broadcast, 1.0.0: ${name}`,
      version: '1.0.0' as const,
      config: {},
      frame: (topic: string) =>
        `{"topic":"${topic}","event":"broadcast","ref":"2","join_ref":"1","payload":${broadcastOf(content(PAYLOAD_BYTES))}}`,
    },
  ])
}

function kind3(topic: string, content: string): Buffer {
  const names = ['1', '2', topic, 'e', ''].map((name) => Buffer.from(name))
  return Buffer.concat([Buffer.from([3, ...names.map(({ length }) => length), 1]), ...names, Buffer.from(content)])
}

/** The search for these words finds them, and then the members have to be looked for. */
const mentions = (topic: string): string =>
  v2(topic, 'broadcast', broadcastOf(filled('{"persist":0,"traceparent":0,"l":[', () => '1', ']}', PAYLOAD_BYTES)))

const presenceConfig = { presence: { enabled: true } }
const track = (topic: string, payload: string): string => v2(topic, 'presence', `{"type":"presence","event":"track","payload":${payload}}`)
const list = (count: number, part: (index: number) => string): string => Array.from({ length: count }, (_, at) => part(at)).join(',')

function presences(): HostileFrame[] {
  const of = (name: string, payload: () => string): HostileFrame => ({
    name: `track: ${name}`,
    version: '2.0.0',
    config: presenceConfig,
    frame: (topic) => track(topic, payload()),
  })
  return [
    of('a text', () => `{"a":"${'a'.repeat(PAYLOAD_BYTES)}"}`),
    {
      ...of('another text than before', () => `{"a":"${'a'.repeat(PAYLOAD_BYTES)}"}`),
      before: (topic) => track(topic, `{"a":"${'b'.repeat(PAYLOAD_BYTES / 2)}"}`),
    },
    of('a text of escapes', () => `{"a":"${String.raw`\u0001`.repeat(PAYLOAD_BYTES / 6)}"}`),
    of('as many keys as are taken', () => `{${list(4_990, (at) => `"k${at}":1`)}}`),
    of('as many objects as are taken', () => `{"l":[${list(2_490, (at) => `{"k${at}":1}`)}]}`),
    of('220,000 keys', () => `{${list(220_000, (at) => `"k${at}":1`)}}`),
    of('deeper than is taken', () => `{"a":${nested(1_000_000)}}`),
  ]
}

const entry = (more: string): string => `{"event":"*","schema":"public","table":"hostile"${more}}`
const joinOf = (entries: string): string => `{"config":{"postgres_changes":[${entries}]}}`

function joins(): HostileFrame[] {
  const of = (name: string, payload: () => string, more: Partial<HostileFrame> = {}): HostileFrame => ({
    name: `join: ${name}`,
    version: '2.0.0',
    config: null,
    frame: (topic) => v2(topic, 'phx_join', payload(), '1'),
    ...more,
  })
  const conditions = (at: number): string => entry(`,"filter":"n=neq.${at},body=neq.${at}"`)
  return [
    of('1,000 entries, all different', () => joinOf(list(1_000, (at) => entry(`,"filter":"n=eq.${at}"`)))),
    of('1,000 entries, all the same', () => joinOf(list(1_000, () => entry('')))),
    of('2,000 conditions', () => joinOf(list(1_000, conditions))),
    of('2,000 conditions, then a row', () => joinOf(list(1_000, conditions)), { thenRow: true }),
    of('2,000 patterns, then a row', () => joinOf(list(1_000, (at) => entry(`,"filter":"body=ilike.%${at}%,body=like.%a%${at}%"`))), {
      thenRow: true,
    }),
    of('filters of 1 MB of quotes', () => joinOf(list(16, () => entry(`,"filter":"${String.raw`\"`.repeat(65_000)}"`)))),
    of('filters of 1 MB in quotes', () => joinOf(list(16, () => entry(`,"filter":"body=eq.\\"${'a'.repeat(64_000)}\\""`)))),
    of('filters of 1 MB of escapes', () => joinOf(list(16, () => entry(`,"filter":"body=eq.\\"${String.raw`\\\\`.repeat(32_000)}\\""`)))),
    of('filters of 1 MB of lists', () =>
      joinOf(list(16, () => entry(`,"filter":"body=in.(${list(99, (at) => `${at}${'a'.repeat(640)}`)})"`))),
    ),
    of('an entry of 4.9 MB', () => joinOf(entry(`,"x":"${'a'.repeat(4_900_000)}"`))),
    of('an entry of 4.9 MB of escapes', () => joinOf(entry(`,"x":"${String.raw`\u0001`.repeat(815_000)}"`))),
    of('1,600 columns', () => joinOf(entry(`,"select":[${list(1_600, () => '"n"')}]`))),
    of('300,000 columns', () => joinOf(entry(`,"select":[${list(300_000, () => '"n"')}]`))),
    of('20,000 conditions', () => joinOf(entry(`,"filter":"${list(20_000, (at) => `n=neq.${at}`)}"`))),
    of('as many keys as are taken', () => joinOf(list(999, (at) => `{${list(8, (key) => `"k${at}_${key}":1`)}}`))),
    of('300,000 entries', () => joinOf(list(300_000, () => '{}'))),
  ]
}

function envelopes(): HostileFrame[] {
  const long = (name: string, frame: (topic: string) => string): HostileFrame => ({ name, version: '2.0.0', config: {}, frame })
  return [
    long('a topic of 4.9 MB', () => v2(`realtime:${'eyJ'.repeat(FRAME_BYTES / 3)}`, 'phx_join', '{}')),
    long('a ref of 4.9 MB', (topic) => v2(topic, 'broadcast', '{}', 'r'.repeat(FRAME_BYTES))),
    long('a token of 4.9 MB', (topic) => v2(topic, 'access_token', `{"access_token":"${'eyJ'.repeat(FRAME_BYTES / 3)}"}`)),
    long('a heartbeat of 4.9 MB', () => v2('phoenix', 'heartbeat', numbers(FRAME_BYTES))),
    long('an unknown event of 4.9 MB', (topic) => v2(topic, 'nothing', numbers(FRAME_BYTES))),
    long('4.9 MB that are JSON but for the last byte', (topic) => `${v2(topic, 'broadcast', numbers(FRAME_BYTES)).slice(0, -1)}}`),
    {
      name: '1.0.0: 4.9 MB of keys that are ignored, escaped',
      version: '1.0.0',
      config: {},
      frame: (topic) =>
        filled('{"x":{', () => String.raw`"\u0070a":1`, `},"topic":"${topic}","event":"broadcast","ref":"2","payload":{}}`, FRAME_BYTES),
    },
    {
      name: '1.0.0: 4.9 MB of keys, escaped',
      version: '1.0.0',
      config: {},
      frame: (topic) =>
        filled('{', () => String.raw`"\u0070a":1`, `,"topic":"${topic}","event":"broadcast","ref":"2","payload":{}}`, FRAME_BYTES),
    },
    { ...long('a broadcast that names its options in its payload', mentions) },
    {
      ...long('50 broadcasts of 128 kB of empty lists', (topic) => v2(topic, 'broadcast', broadcastOf(payloads['empty lists']!(130_900)))),
      times: 50,
    },
    { ...long('1,000 frames that are no JSON', () => '{'), times: 1_000 },
    {
      ...long('1,000 joins of the admin channel', () => v2('tidewire:admin', 'phx_join', `{"access_token":"${Math.random()}"}`)),
      times: 1_000,
    },
    { ...long('10,000 heartbeats', () => v2('phoenix', 'heartbeat', '{}')), times: 10_000 },
    { ...long('10,000 broadcasts on a topic that is not joined', () => v2('realtime:other', 'broadcast', '{}')), times: 10_000 },
    { ...long('10,000 leaves of a topic that is not joined', () => v2('realtime:other', 'phx_leave', '{}')), times: 10_000 },
    { ...long('1,000 tokens', (topic) => v2(topic, 'access_token', `{"access_token":"${Math.random()}"}`)), times: 1_000 },
  ]
}

function manyReceivers(): HostileFrame[] {
  const broadcast = (topic: string): string => v2(topic, 'broadcast', broadcastOf(payloads['a text']!(PAYLOAD_BYTES)))
  const state = (name: string, payload: () => string): HostileFrame => ({
    name: `join: to a presence of ${name}`,
    version: '2.0.0',
    config: null,
    tracked: [payload(), payload()],
    frame: (topic) => v2(topic, 'phx_join', JSON.stringify({ config: presenceConfig }), '1'),
  })
  const message = (topic: string, payload: string): string => `{"topic":"${topic.slice(9)}","event":"e","payload":${payload}}`
  const batch = (name: string, frame: (topic: string) => string): HostileFrame => ({
    name: `HTTP: ${name}`,
    version: '2.0.0',
    config: {},
    http: 'batch',
    frame,
  })
  return [
    {
      name: 'broadcast: a text, to a receiver under 1.0.0',
      version: '1.0.0',
      config: { broadcast: { self: true } },
      frame: (topic) =>
        `{"topic":"${topic}","event":"broadcast","ref":"2","join_ref":"1","payload":${broadcastOf(payloads['a text']!(PAYLOAD_BYTES))}}`,
    },
    { name: 'broadcast: a text, to 300 receivers', version: '2.0.0', config: {}, receivers: 300, frame: broadcast },
    state('5 MB of text', () => `{"a":"${'a'.repeat(2_400_000)}"}`),
    state('as many keys as are taken, long ones', () => `{${list(4_990, (at) => `"${'k'.repeat(450)}${at}":1`)}}`),
    batch('10,000 messages', (topic) => `{"messages":[${list(10_000, () => message(topic, '{}'))}]}`),
    {
      ...batch('10,000 messages to 100 receivers', (topic) => `{"messages":[${list(10_000, () => message(topic, '{}'))}]}`),
      receivers: 100,
    },
    batch(
      'as many values as are taken',
      (topic) => `{"messages":[${list(10, (at) => message(topic, `{${list(4_900, (key) => `"k${at}_${key}":1`)}}`))}]}`,
    ),
    batch('a batch of 7.9 MB', (topic) => `{"messages":[${list(3, () => message(topic, `{"a":"${'a'.repeat(2_600_000)}"}`))}]}`),
    { ...batch('one message, numbers of one digit', () => numbers(PAYLOAD_BYTES)), http: 'single' },
    { ...batch('one message, empty lists', () => payloads['empty lists']!(PAYLOAD_BYTES)), http: 'single' },
    batch('more values than are taken', (topic) => `{"messages":[${message(topic, numbers(PAYLOAD_BYTES))}]}`),
  ]
}

/** All of them. */
export const hostileFrames: readonly HostileFrame[] = [...broadcasts(), ...presences(), ...joins(), ...envelopes(), ...manyReceivers()]
