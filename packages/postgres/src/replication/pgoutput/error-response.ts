import { ByteReader } from './byte-reader.ts'

/** Reads an ErrorResponse: its SQLSTATE and its sentence. */
export function readErrorResponse(buffer: Buffer, start: number, end: number): Readonly<Record<'code' | 'message', string | undefined>> {
  const reader = new ByteReader(buffer, start, end)
  const fields = new Map<string, string>()
  for (;;) {
    const field = reader.uint8()
    if (field === 0 || reader.overrun) break
    fields.set(String.fromCharCode(field), reader.text())
  }
  return { code: fields.get('C'), message: fields.get('M') }
}
