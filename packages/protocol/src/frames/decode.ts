import type { Ref } from '../message.ts'

/** Why a frame could not be read. The frame is dropped, its sender gets an error (rule M5), the socket stays open. */
export type DecodeFault =
  | 'malformed-json'
  | 'wrong-shape'
  | 'truncated'
  | 'unknown-kind'
  | 'malformed-metadata'
  | 'malformed-payload'
  | 'invalid-utf8'
  | 'empty-frame'
  | 'binary-not-supported'
  | 'name-too-long'
  | 'too-deep'
  | 'too-many-values'

/** A frame without its payload: enough to answer it. */
export interface FrameEnvelope {
  readonly joinRef: Ref
  readonly ref: Ref
  readonly topic: string
  readonly event: string
}

/** `envelope` is there when only the part after it is at fault, so that the push can be answered (rule M5). */
export interface Undecodable {
  readonly ok: false
  readonly code: DecodeFault
  readonly detail: string
  readonly envelope?: FrameEnvelope
}

/** Decoders never throw: hostile input is an ordinary value. */
export type Decoded<T> = { readonly ok: true; readonly value: T } | Undecodable

/** The result for a frame that could be read. */
export function decoded<T>(value: T): Decoded<T> {
  return { ok: true, value }
}

/** The result for a frame that could not be read; `detail` is a sentence for the sender. */
export function undecodable(code: DecodeFault, detail: string, envelope?: FrameEnvelope): Undecodable {
  return envelope === undefined ? { ok: false, code, detail } : { ok: false, code, detail, envelope }
}

/** The JSON value of a text, or a fault; `undefined` is never a JSON value, so it marks the fault. */
export function jsonValue(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
