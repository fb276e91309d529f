/**
 * Reads a stream to its end. `admit` is asked before a chunk is kept; once it says no, the rest is cancelled and the
 * answer is `null`. Rejects when the stream fails.
 */
export async function readAll(stream: ReadableStream<Uint8Array>, admit: (bytes: number) => boolean): Promise<Uint8Array | null> {
  const reader = stream.getReader()
  const chunks: Uint8Array[] = []
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    if (!admit(value.length)) {
      reader.cancel().catch(() => {})
      return null
    }
    chunks.push(value)
  }
}
