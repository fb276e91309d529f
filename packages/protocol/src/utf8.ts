/** Made when the first bytes are read: this file must also load on platforms without a decoder, or with one that is loaded later. */
let strictUtf8: TextDecoder | undefined

/** UTF-8 text, or `undefined` when the bytes are not UTF-8. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  strictUtf8 ??= new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** Whether a text is at most so many bytes of UTF-8. */
export function fitsBytes(text: string, maxBytes: number): boolean {
  // A UTF-16 unit is at most three bytes, and at least one.
  return text.length * 3 <= maxBytes || (text.length <= maxBytes && textBytes(text).length <= maxBytes)
}

let encoder: TextEncoder | undefined

/** A text as UTF-8. */
export function textBytes(text: string): Uint8Array {
  encoder ??= new TextEncoder()
  return encoder.encode(text)
}
