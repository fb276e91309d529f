import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Deviation } from './deviations.ts'
import { playTranscript, type PlayOptions } from './player.ts'
import { formatReport, type PlayReport } from './report.ts'
import { parseTranscript } from '../recording/transcript.ts'

/** What the scripted server does with a frame; `socket.send` answers, `all` are the sockets in the order they came. */
type Script = (frame: string, socket: WebSocket, all: readonly WebSocket[]) => void

const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

async function serve(
  script: Script,
  answer: (request: IncomingMessage, response: ServerResponse, all: readonly WebSocket[]) => void = (_request, response) => {
    response.writeHead(404).end()
  },
): Promise<string> {
  const all: WebSocket[] = []
  const http = createServer((request, response) => answer(request, response, all))
  const sockets = new WebSocketServer({ noServer: true })
  http.on('upgrade', (request, socket, head) => {
    if (request.url?.includes('vsn=9') === true) {
      socket.end(
        'HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 14\r\nconnection: close\r\n\r\n{"error":"no"}',
      )
      return
    }
    sockets.handleUpgrade(request, socket, head, (open) => {
      all.push(open)
      open.on('message', (data: Buffer) => {
        const text = data.toString()
        const heartbeat = /"ref":"(barrier-\d+)"/.exec(text)
        if (heartbeat === null) script(text, open, all)
        else open.send(`{"ref":"${heartbeat[1]}","event":"phx_reply","payload":{},"topic":"phoenix"}`)
      })
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    for (const open of all) open.terminate()
    return new Promise((resolve) => http.close(resolve))
  })
  return `ws://127.0.0.1:${(http.address() as AddressInfo).port}`
}

type Entry = Record<string, unknown>

/** Lines of a made-up recording, 1 ms apart unless they say otherwise. */
function recording(...entries: Entry[]): string {
  let t = 0
  return entries.map((entry) => JSON.stringify({ t_ms: (t = (entry['t_ms'] as number | undefined) ?? t + 1), ...entry })).join('\n')
}

const opens = (c = 'A'): Entry[] => [
  { dir: 'note', c, open: 'ws://realtime-dev.localhost:1/socket/websocket?vsn=1.0.0' },
  { dir: 'note', c, opened: true },
]
const says = (frame: string, c = 'A'): Entry => ({ dir: 'c2s', c, frame })
const hears = (frame: string, c = 'A'): Entry => ({ dir: 's2c', c, frame })
const later = (entry: Entry, tMs: number): Entry => ({ ...entry, t_ms: tMs })
const closes = (code = 1000, c = 'A', by = 'client'): Entry => ({ dir: 'note', c, closed: code, reason: '', by })
const push = (ref: string, event = 'broadcast', payload: unknown = {}): string => JSON.stringify({ topic: 't', event, payload, ref })
const reply = (ref: string, payload: unknown = {}): string => JSON.stringify({ ref, event: 'phx_reply', payload, topic: 't' })
const event = (name: string, payload: unknown = {}): string => JSON.stringify({ ref: null, event: name, payload, topic: 't' })

async function play(url: string, lines: string, options: Partial<PlayOptions> = {}): Promise<PlayReport> {
  return playTranscript(parseTranscript('made up', lines), { url, secret: 's', deadlineMs: 600, ...options })
}

const kinds = (report: PlayReport): string[] => report.differences.map(({ line, client, kind }) => `${line} ${client} ${kind}`)

describe('a server that does as recorded', () => {
  test('shows no difference, whatever the order of keys', async () => {
    const url = await serve((_frame, socket) => socket.send('{"topic":"t","payload":{"b":2,"a":1},"event":"phx_reply","ref":"1"}'))
    const report = await play(url, recording(...opens(), says(push('1')), hears(reply('1', { a: 1, b: 2 })), closes()))
    expect(report).toEqual({ name: 'made up', compared: 3, differences: [] })
  })

  test('may answer a push before or after the frame that it caused', async () => {
    const pairs = [
      [reply('1'), event('presence_diff')],
      [event('broadcast', { n: 1 }), reply('2')],
    ]
    const lines = recording(
      ...opens(),
      says(push('1', 'presence')),
      ...pairs[0]!.map((frame) => hears(frame)),
      says(push('2')),
      ...pairs[1]!.map((frame) => hears(frame)),
    )
    for (const turned of [false, true]) {
      const url = await serve((frame, socket) => {
        const pair = pairs[frame.includes('"ref":"1"') ? 0 : 1]!
        for (const answer of turned ? pair.toReversed() : pair) socket.send(answer)
      })
      expect(formatReport(await play(url, lines))).toBe('')
    }
  })

  test('is waited for, before the client goes on', async () => {
    const heard: string[] = []
    const url = await serve((frame, socket) => {
      heard.push(frame)
      if (frame === push('1')) setTimeout(() => socket.send(reply('1')), 60)
    })
    const report = await play(url, recording(...opens(), says(push('1')), hears(reply('1')), says(push('2'))), { deadlineMs: 3000 })
    expect(formatReport(report)).toBe('')
    expect(heard).toEqual([push('1'), push('2')])
  })

  test('may send what was recorded a moment late', async () => {
    const url = await serve((frame, socket) => {
      if (frame === push('1', 'phx_leave')) socket.send(event('phx_close'))
    })
    const lines = recording(...opens(), says(push('1', 'phx_leave')), says(push('2')), hears(event('phx_close')))
    expect(formatReport(await play(url, lines))).toBe('')
  })
})

test('what the database says about a subscription has no place among other frames, but follows the join', async () => {
  const ready = event('system', { extension: 'postgres_changes', message: 'Subscribed to PostgreSQL' })
  const other = JSON.stringify({ ref: '2', event: 'phx_reply', payload: {}, topic: 'u' })
  const lines = recording(...opens(), says(push('1', 'phx_join')), hears(reply('1')), says(push('2')), hears(other), hears(ready))
  for (const early of [true, false]) {
    const url = await serve((frame, socket) => {
      if (frame === push('1', 'phx_join')) socket.send(reply('1'))
      else socket.send(other)
      if (early === (frame !== push('2'))) socket.send(ready)
    })
    expect(formatReport(await play(url, lines))).toBe('')
  }
  const hasty = await serve((frame, socket) => {
    for (const answer of frame === push('2') ? [other] : [ready, reply('1')]) socket.send(answer)
  })
  expect(kinds(await play(hasty, lines))).toEqual(['3 A not recorded', '7 A missing'])
})

describe('a difference is reported', () => {
  const answering =
    (...frames: string[]): Script =>
    (_frame, socket) => {
      for (const frame of frames) socket.send(frame)
    }
  const one = recording(...opens(), says(push('1')), hears(reply('1', { status: 'ok' })), closes())

  test('when a value is another, with its place', async () => {
    const report = await play(await serve(answering(reply('1', { status: 'error' }))), one)
    expect(formatReport(report)).toBe(
      [
        'made up.jsonl:4 A: differs',
        '  recorded  {"event":"phx_reply","payload":{"status":"ok"},"ref":"1","topic":"t"}',
        '  came      {"event":"phx_reply","payload":{"status":"error"},"ref":"1","topic":"t"}',
        '  at payload.status: expected "ok", got "error"',
      ].join('\n'),
    )
  })

  test('when a frame is missing', async () => {
    expect(kinds(await play(await serve(() => {}), one))).toEqual(['4 A missing'])
  })

  test('when a frame comes that was not recorded', async () => {
    const url = await serve(answering(reply('1', { status: 'ok' }), event('extra')))
    expect(kinds(await play(url, one))).toEqual(['3 A not recorded'])
  })

  test('when a frame comes twice', async () => {
    const url = await serve(answering(reply('1', { status: 'ok' }), reply('1', { status: 'ok' })))
    expect(kinds(await play(url, one))).toEqual(['3 A not recorded'])
  })

  test('when a frame comes where the recording is silent, though not at once', async () => {
    const url = await serve((frame, socket) => {
      if (frame === push('1')) setImmediate(() => socket.send(event('extra')))
    })
    const silent = recording(...opens(), says(push('1')), later(says(push('2')), 500))
    expect(kinds(await play(url, silent))).toEqual(['3 A not recorded'])
  })

  test('when another client hears what it should not', async () => {
    const url = await serve((_frame, socket, all) => {
      socket.send(reply('1', { status: 'ok' }))
      all.find((other) => other !== socket)?.send(event('broadcast'))
    })
    const lines = recording(...opens('A'), ...opens('B'), says(push('1')), hears(reply('1', { status: 'ok' })), closes())
    expect(kinds(await play(url, lines))).toEqual(['5 B not recorded'])
  })

  test('when two frames change places', async () => {
    const lines = recording(...opens(), says(push('1')), hears(event('system')), hears(event('phx_close')))
    expect(kinds(await play(await serve(answering(event('phx_close'), event('system'))), lines))).toEqual(['5 A out of order'])
  })

  test('when a broadcast overtakes the answer to another push', async () => {
    const lines = recording(...opens(), says(push('1', 'phx_join')), hears(reply('1')), hears(event('broadcast')))
    expect(kinds(await play(await serve(answering(event('broadcast'), reply('1'))), lines))).toEqual(['5 A out of order'])
  })

  test('when two ids are swapped', async () => {
    const lines = recording(
      ...opens(),
      says(push('1')),
      hears(event('presence_diff', { a: { phx_ref: 'r1' }, b: { phx_ref: 'r2' } })),
      hears(event('presence_diff', { a: { phx_ref: 'r1' } })),
    )
    const first = event('presence_diff', { a: { phx_ref: 'x1' }, b: { phx_ref: 'x2' } })
    expect(kinds(await play(await serve(answering(first, event('presence_diff', { a: { phx_ref: 'x1' } }))), lines))).toEqual([])
    expect(kinds(await play(await serve(answering(first, event('presence_diff', { a: { phx_ref: 'x2' } }))), lines))).toEqual([
      '5 A differs',
    ])
  })

  test('when a text frame is binary', async () => {
    const url = await serve((_frame, socket) => socket.send(Buffer.from(reply('1', { status: 'ok' }))))
    expect(kinds(await play(url, one))).toEqual(['3 A not recorded', '4 A missing'])
  })

  test('when the server closes, and then at once', async () => {
    const url = await serve((_frame, socket) => socket.close(1011, 'oops'))
    const report = await play(url, recording(...opens(), says(push('1')), hears(reply('1')), closes()), { deadlineMs: 60_000 })
    expect(formatReport(report)).toContain('made up.jsonl:4 A: missing')
    expect(formatReport(report)).toContain('closed 1000 ""\n  came      1011 "oops"')
  })

  test('when the server does not close with the recorded code', async () => {
    const url = await serve((_frame, socket) => socket.close(1001))
    const lines = recording(...opens(), says(push('1')), closes(1009, 'A', 'server'))
    expect(kinds(await play(url, lines))).toEqual(['4 A connection differs'])
  })

  test('when an upgrade is refused or let in against the recording', async () => {
    const url = await serve(() => {})
    expect(kinds(await play(url, recording(...opens()).replaceAll('vsn=1.0.0', 'vsn=9.0.0')))).toEqual(['2 A connection differs'])
    const refused = recording(opens()[0]!, { dir: 'note', c: 'A', http: { status: 403, headers: {}, body: '' } })
    expect(kinds(await play(url, refused))).toEqual(['2 A connection differs'])
  })

  test('when a server that hears nothing stays silent on the heartbeat', async () => {
    const url = await serve(() => {})
    const deaf = recording(...opens(), later(says(push('1')), 500)).replaceAll('vsn=1.0.0', 'vsn=2.0.0')
    expect((await play(url, deaf)).differences).toContainEqual({
      line: 1,
      client: 'A',
      kind: 'no answer',
      detail: 'a heartbeat is not answered',
    })
  })
})

describe('HTTP', () => {
  const call = (res: unknown): Entry => ({
    dir: 'note',
    label: 'call',
    req: {
      method: 'POST',
      path: '/api?<jwt role=anon exp=future>',
      headers: { host: 'realtime-dev.localhost', apikey: 'k' },
      body: '{"a":1}',
    },
    res,
  })
  const good = { status: 202, headers: { 'content-type': 'application/json', date: 'then', 'x-request-id': 'q' }, body: '{"id":5}' }

  async function api(): Promise<string> {
    return serve(
      () => {},
      (request, response, all) => {
        for (const socket of all) socket.send(event('broadcast', { via: request.headers['apikey'] }))
        const status = request.url?.startsWith('/api?eyJ') === true ? 202 : 500
        response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'other' }).end('{"id":5}')
      },
    )
  }

  test('is played, with the frames that it causes around its answer', async () => {
    const lines = recording(
      ...opens('A'),
      ...opens('B'),
      hears(event('broadcast', { via: 'k' }), 'A'),
      call(good),
      hears(event('broadcast', { via: 'k' }), 'B'),
    )
    expect(formatReport(await play(await api(), lines))).toBe('')
  })

  test('answers are compared in every part', async () => {
    const other = { status: 422, headers: { 'content-type': 'text/plain', allow: 'GET' }, body: '{"id":6}' }
    const report = await play(await api(), recording(call(other)))
    expect(report.differences.map(({ detail }) => detail)).toEqual([
      'status',
      'header content-type',
      'header allow',
      'header x-request-id',
      'body: at id: expected 6, got 5',
    ])
  })

  test('a refused upgrade is compared like any answer', async () => {
    const refusal = { status: 401, headers: { 'content-type': 'application/json' }, body: '{"error":"no"}' }
    const lines = recording(opens()[0]!, { dir: 'note', c: 'A', http: refusal }, closes(1006)).replaceAll('vsn=1.0.0', 'vsn=9.0.0')
    expect((await play(await api(), lines)).differences).toMatchObject([{ kind: 'answer differs', recorded: '401', actual: '403' }])
  })
})

describe('a wanted difference', () => {
  const lines = recording(...opens(), says(push('1')), hears(reply('1')), hears(event('system')), closes())
  const wanted = (line: number, change: Deviation['change']): Deviation => ({
    recording: 'made up',
    line,
    rule: 'X0',
    reason: 'test',
    change,
  })
  const sending = (...frames: string[]): Promise<string> =>
    serve((_frame, socket) => {
      for (const frame of frames) socket.send(frame)
    })

  const cases: [string, Deviation, string[]][] = [
    ['instead', wanted(4, { kind: 'instead', frame: reply('1', { x: 1 }) }), [reply('1', { x: 1 }), event('system')]],
    ['extended', wanted(4, { kind: 'extended', payload: { code: 'x' } }), [reply('1', { code: 'x' }), event('system')]],
    ['absent', wanted(5, { kind: 'absent' }), [reply('1')]],
    ['moved', wanted(4, { kind: 'moved', line: 5 }), [event('system'), reply('1')]],
    ['also', wanted(3, { kind: 'also', client: 'A', frames: [event('more')] }), [event('more'), reply('1'), event('system')]],
  ]

  test.each(cases)('%s: is expected', async (_name, deviation, frames) => {
    expect(formatReport(await play(await sending(...frames), lines, { deviations: [deviation] }))).toBe('')
  })

  test.each(cases)('%s: fails when it no longer occurs', async (_name, deviation) => {
    const report = await play(await sending(reply('1'), event('system')), lines, { deviations: [deviation] })
    expect(report.differences).not.toEqual([])
  })

  test('anytime: before, between or after the others', async () => {
    const sent = [reply('1'), event('system'), event('phx_close')]
    const ordered = recording(...opens(), says(push('1')), ...sent.map((frame) => hears(frame)), closes())
    const deviations = [wanted(6, { kind: 'anytime', line: 3 })]
    for (const [first, second, third] of [
      [0, 1, 2],
      [0, 2, 1],
      [2, 0, 1],
    ] as const)
      expect(formatReport(await play(await sending(sent[first]!, sent[second]!, sent[third]!), ordered, { deviations }))).toBe('')
    expect(kinds(await play(await sending(sent[1]!, sent[0]!, sent[2]!), ordered, { deviations }))).toEqual(['5 A out of order'])
    expect(kinds(await play(await sending(sent[0]!, sent[1]!), ordered, { deviations }))).toEqual(['6 A missing'])
  })

  test('moved to before a quiet time', async () => {
    const slow = recording(...opens(), says(push('1')), later(says(push('2')), 5000), hears(event('late')))
    const url = await serve((frame, socket) => {
      if (frame === push('1')) socket.send(event('late'))
    })
    expect(kinds(await play(url, slow))).toEqual(['3 A not recorded', '5 A missing'])
    expect(formatReport(await play(url, slow, { deviations: [wanted(5, { kind: 'moved', line: 3 })] }))).toBe('')
  })

  test('of a connection', async () => {
    const closing = await serve((_frame, socket) => socket.close(1008, 'policy'))
    const ends = recording(...opens(), says(push('1')), closes(1009, 'A', 'server'))
    expect(formatReport(await play(closing, ends, { deviations: [wanted(4, { kind: 'closed', code: 1008, reason: 'policy' })] }))).toBe('')
    const refused = recording(opens()[0]!, { dir: 'note', c: 'A', http: { status: 404, headers: {}, body: '' } }, closes(1006))
    expect(formatReport(await play(closing, refused, { deviations: [wanted(2, { kind: 'opens' })] }))).toBe('')
  })

  test('of an answer', async () => {
    const asked = recording({
      dir: 'note',
      label: 'x',
      req: { method: 'GET', path: '/', headers: {} },
      res: { status: 200, headers: { a: 'b' }, body: 'ok' },
    })
    const deviations = [wanted(1, { kind: 'response', status: 404, headers: { a: null }, body: '' })]
    expect(formatReport(await play(await sending(), asked, { deviations }))).toBe('')
  })

  test('that fits nothing is refused', async () => {
    const url = await sending()
    await expect(play(url, lines, { deviations: [wanted(99, { kind: 'absent' })] })).rejects.toThrow(
      'X0 of made up:99: there is no such line',
    )
    await expect(play(url, lines, { deviations: [wanted(3, { kind: 'absent' })] })).rejects.toThrow('"absent" does not go with')
    await expect(play(url, lines, { deviations: [wanted(5, { kind: 'anytime', line: 5 })] })).rejects.toThrow('"anytime" does not go with')
  })
})

test('statements are run by the caller, and without one the recording is refused', async () => {
  const url = await serve(() => {})
  const lines = recording(...opens(), { dir: 'note', sql: 'select $1', params: [7] })
  const run: unknown[] = []
  const sql = (text: string, params: readonly unknown[]): Promise<unknown> => Promise.resolve(run.push([text, params]))
  await play(url, lines, { sql })
  expect(run).toEqual([['select $1', [7]]])
  await expect(play(url, lines)).rejects.toThrow('made up:3 needs a database')
})
