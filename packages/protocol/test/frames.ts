/** Bytes of a hex dump; spaces are free. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.replaceAll(' ', '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

export function fromBase64(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

/**
 * A binary frame put together by the layout alone: kind, one size a name, the bytes that follow the sizes, the names,
 * the payload. Also makes the kinds that this package only reads.
 */
export function binaryFrame(kind: number, names: readonly string[], flags: readonly number[], payload: Uint8Array): Uint8Array {
  const parts = names.map((name) => new TextEncoder().encode(name))
  return Uint8Array.from([kind, ...parts.map((part) => part.length), ...flags, ...parts.flatMap((part) => [...part]), ...payload])
}
