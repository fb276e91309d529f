/** WebSocket opcodes of data frames. */
export type Opcode = 1 | 2

/**
 * One unmasked, unfragmented WebSocket frame out of parts: header and payload in one buffer, which is written to every
 * subscriber as it is.
 */
export function webSocketFrame(opcode: Opcode, ...parts: readonly Uint8Array[]): Buffer {
  let size = 0
  for (const part of parts) size += part.length
  const header = size < 126 ? 2 : size < 0x10000 ? 4 : 10
  const frame = Buffer.allocUnsafe(header + size)
  frame[0] = 0x80 | opcode
  if (header === 2) frame[1] = size
  else if (header === 4) {
    frame[1] = 126
    frame.writeUInt16BE(size, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(Math.floor(size / 0x1_0000_0000), 2)
    frame.writeUInt32BE(size >>> 0, 6)
  }
  let at = header
  for (const part of parts) {
    frame.set(part, at)
    at += part.length
  }
  return frame
}

export function textFrame(text: string): Buffer {
  return webSocketFrame(1, Buffer.from(text))
}
