/**
 * Counts the bytes of an unfinished message that have come over a WebSocket. Reads the heads of frames only; `ws` reports faults
 * in them.
 */
export class MessageProgress {
  /** Bytes so far of a message that has begun and not ended, heads included; 0: there is none. */
  unfinishedBytes = 0
  #payloadLeft = 0
  #isControl = false
  #endsMessage = false
  /** A message of several frames has begun. */
  #isContinued = false
  /** The beginning of a head whose rest is in the next chunk. */
  #head: number[] | null = null

  /** The next bytes of the socket. */
  read(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#payloadLeft === 0) {
        at = this.#readHead(chunk, at)
        if (this.#head !== null) return
      }
      const taken = Math.min(this.#payloadLeft, chunk.length - at)
      at += taken
      this.unfinishedBytes += taken
      this.#payloadLeft -= taken
      if (this.#payloadLeft === 0) this.#endFrame()
    }
  }

  #readHead(chunk: Uint8Array, from: number): number {
    const head = this.#head ?? []
    let at = from
    while (at < chunk.length && head.length < headSize(head)) head.push(chunk[at++]!)
    this.unfinishedBytes += at - from
    if (head.length < headSize(head)) {
      this.#head = head
      return at
    }
    this.#head = null
    const [first = 0, second = 0] = head
    this.#isControl = (first & 0x08) !== 0
    this.#endsMessage = (first & 0x80) !== 0
    this.#payloadLeft = payloadSize(head, second & 0x7f)
    return at
  }

  #endFrame(): void {
    if (!this.#isControl) this.#isContinued = !this.#endsMessage
    if (!this.#isContinued) this.unfinishedBytes = 0
  }
}

/** The size of a head, as far as its first bytes are there. */
function headSize(head: readonly number[]): number {
  const second = head[1]
  if (second === undefined) return 2
  const size = second & 0x7f
  return 2 + (size === 126 ? 2 : size === 127 ? 8 : 0) + (second >= 0x80 ? 4 : 0)
}

function payloadSize(head: readonly number[], size: number): number {
  if (size < 126) return size
  let length = 0
  for (const byte of head.slice(2, size === 126 ? 4 : 10)) length = length * 256 + byte
  return length
}
