import { once } from 'node:events'
import type { CDPSession, Page } from 'playwright-core'
import { WebSocket } from 'ws'

export interface PageMemory {
  /** Messages of one burst. */
  readonly messages: number
  /** Of the page's JavaScript after forced collection: with a full log, and after each burst. */
  readonly heapMb: readonly number[]
}

const BURSTS = 3
const CHUNK = 2_000
const MAX_BUFFERED_BYTES = 1_000_000

/** What the page keeps of bursts: it is a plateau where the log lets go of as much as it takes. */
export async function measureMemory(page: Page, url: string, key: string, messages: number): Promise<PageMemory> {
  const session = await page.context().newCDPSession(page)
  await session.send('HeapProfiler.enable')
  const heapMb = [await heapOf(session)]
  for (let burst = 0; burst < BURSTS; burst++) {
    await sendBurst(url, key, messages)
    heapMb.push(await heapOf(session))
    console.error(`after ${burst + 1} × ${messages.toLocaleString('en')} messages: ${heapMb.at(-1)!.toFixed(1)} MB`)
  }
  await session.detach()
  return { messages, heapMb }
}

async function heapOf(session: CDPSession): Promise<number> {
  // What is only reached through weak references goes at the second time.
  for (let time = 0; time < 2; time++) await session.send('HeapProfiler.collectGarbage')
  const { usedSize } = await session.send('Runtime.getHeapUsage')
  return usedSize / 2 ** 20
}

/** Sends as fast as the server reads, and resolves when it has taken the last one. */
async function sendBurst(url: string, key: string, messages: number): Promise<void> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${key}`)
  await once(socket, 'open')
  const replied = (ref: string): Promise<void> =>
    new Promise((resolve, reject) => {
      socket.on('close', (code) => reject(new Error(`the server closed the burst with ${code}`)))
      socket.on('message', (data: Buffer) => {
        const [, of, , event] = JSON.parse(data.toString()) as [unknown, unknown, unknown, unknown]
        if (of === ref && event === 'phx_reply') resolve()
      })
    })
  const joined = replied('join')
  socket.send(JSON.stringify(['1', 'join', 'realtime:burst', 'phx_join', { config: { broadcast: { ack: true } } }]))
  await joined
  const last = replied('last')
  for (let sent = 0; sent < messages;) {
    for (const end = Math.min(messages, sent + CHUNK); sent < end; sent++) {
      const payload = { type: 'broadcast', event: 'n', payload: { n: sent, text: 'x'.repeat(100) } }
      socket.send(JSON.stringify(['1', sent === messages - 1 ? 'last' : null, 'realtime:burst', 'broadcast', payload]))
    }
    do await new Promise((resolve) => void setImmediate(resolve))
    while (socket.bufferedAmount > MAX_BUFFERED_BYTES && socket.readyState === WebSocket.OPEN)
  }
  await last
  socket.removeAllListeners('close')
  socket.terminate()
}
