import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { listen, type HttpListener } from './http-listener.ts'

let listener: HttpListener
let upgrades: string[]

/** Answers with what it was asked. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  const body: Buffer[] = []
  request.on('data', (chunk: Buffer) => body.push(chunk))
  request.on('end', () => {
    const { method, url, headers } = request
    response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(body).toString() }))
  })
}

beforeEach(async () => {
  upgrades = []
  listener = await listen({ host: '127.0.0.1', port: 0, headersTimeoutMs: 5_000, maxSockets: 100 }, echo, {
    upgrade: (request, socket) => {
      upgrades.push(request.url ?? '')
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
    },
  })
})

afterEach(() => listener.close(0))

/** All that comes back until it holds so many answers, or the end. */
function send(text: string, answers: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(listener.port, '127.0.0.1', () => socket.write(text, 'latin1'))
    const deadline = setTimeout(() => socket.destroy(new Error(`too few answers: ${came}`)), 10_000)
    let came = ''
    socket.on('data', (data) => {
      came += data.toString('latin1')
      if (came.split('"body":').length > answers) socket.end()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(deadline)
      resolve(came)
    })
  })
}

const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n'

describe('a request that offers another protocol than WebSocket (rule H8)', () => {
  test('is answered as without the offer, its body and the request after it included', async () => {
    const first = `POST /a?b=%C3%A9 HTTP/1.1\r\nHost: x\r\nX-Name: \xe9\r\n${h2c}Content-Length: 5\r\n\r\nhello`
    const came = await send(`${first}GET /next HTTP/1.1\r\nHost: x\r\n\r\n`, 2)
    expect(came).toMatch(/^HTTP\/1\.1 200/)
    expect(came).toContain('"method":"POST","url":"/a?b=%C3%A9"')
    expect(came).toContain('"body":"hello"')
    expect(came).toContain('"url":"/next"')
    expect(came).not.toMatch(/"upgrade"|"http2-settings"/)
    expect(came).toContain(Buffer.from('"x-name":"é"').toString('latin1'))
    expect(upgrades).toEqual([])
  })

  test('comes in any pieces, and may offer it again', async () => {
    const request = `POST / HTTP/1.1\r\nHost: x\r\n${h2c}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
    const came = await send(request + request, 2)
    expect(came.match(/"body":"hello"/g)).toHaveLength(2)
  })

  test('costs nothing where its connection ends meanwhile', async () => {
    const request = `POST / HTTP/1.1\r\nHost: x\r\n${h2c}Content-Length: 5\r\n\r\n`
    for (const pieces of [`${request}he`, `${request}hello${request}`, `${request}hello`.repeat(30)])
      await new Promise<void>((resolve) => {
        const socket = connect(listener.port, '127.0.0.1', () => socket.write(pieces, () => socket.resetAndDestroy()))
        socket.on('error', () => {})
        socket.once('close', () => resolve())
      })
    expect(await send(`${request}hello`, 1)).toContain('"body":"hello"')
  })

  test('is not mistaken for a WebSocket, nor the other way round', async () => {
    for (const offer of ['websocket', 'WebSocket'])
      expect(await send(`GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${offer}\r\n\r\n`, 1)).toMatch(/^HTTP\/1\.1 404/)
    expect(upgrades).toEqual(['/ws', '/ws'])
    expect(await send(`GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: TLS/1.0\r\n\r\n`, 1)).toMatch(
      /^HTTP\/1\.1 200[\s\S]*Connection: close/,
    )
  })
})
