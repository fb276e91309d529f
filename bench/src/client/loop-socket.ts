/**
 * A server of one line inside of the process, in place of a WebSocket: accepts every join, answers heartbeats, and says
 * what the probe gives it. So a figure is the client's alone.
 */
export class LoopSocket {
  static last: LoopSocket
  readyState = 0
  binaryType = 'arraybuffer'
  onopen: ((event: object) => void) | null = null
  onmessage: ((event: { readonly data: unknown }) => void) | null = null
  onclose: ((event: object) => void) | null = null
  onerror: ((event: object) => void) | null = null

  constructor() {
    LoopSocket.last = this
    setImmediate(() => {
      this.readyState = 1
      this.onopen?.({})
    })
  }

  send(data: unknown): void {
    if (typeof data !== 'string') return
    const [joinRef, ref, topic, event] = JSON.parse(data) as [string | null, string, string, string]
    if (event !== 'phx_join' && event !== 'heartbeat' && event !== 'phx_leave') return
    const payload = { status: 'ok', response: event === 'phx_join' ? { postgres_changes: [] } : {} }
    setImmediate(() => this.receive(JSON.stringify([joinRef, ref, topic, 'phx_reply', payload])))
  }

  receive(data: string | ArrayBuffer): void {
    this.onmessage?.({ data })
  }

  close(code = 1000, reason = ''): void {
    this.readyState = 3
    setImmediate(() => this.onclose?.({ code, reason, wasClean: true }))
  }
}
