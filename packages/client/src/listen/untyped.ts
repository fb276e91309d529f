/**
 * A value without a description: as loose as the result of `JSON.parse`, so that programs written for realtime-js compile.
 * Describe your events and tables, and it is nowhere to be seen.
 */
export type Untyped = ReturnType<typeof JSON.parse>

export type UntypedRow = { [column: string]: Untyped }
