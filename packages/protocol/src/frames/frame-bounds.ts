/** Bounds of those parts of a client's frame that cost more than their bytes (section L). */
export interface FrameBounds {
  /** Keys and elements of a payload that the server reads: of a join, a token, a question of an inspector. Default 10 000. */
  readonly maxPayloadValues: number
  /** Keys and elements of a tracked payload. Default 5 000. */
  readonly maxPresenceValues: number
}

/** The default bounds. */
export const defaultFrameBounds: FrameBounds = { maxPayloadValues: 10_000, maxPresenceValues: 5_000 }

/** How deep arrays and objects may stand in one another (rule L9). */
export const MAX_NESTING = 512

/** Members or elements of a frame itself, those that are ignored included (rule L10). */
export const MAX_FRAME_PARTS = 64

/** The longest topic (rule L11). */
export const MAX_TOPIC_BYTES = 4_096

/** The longest event or ref, and the longest name in a binary frame, which has one byte for each length (rules L11, N4). */
export const MAX_NAME_BYTES = 255

/** How many values the payload of an event may hold; `null`: the server does not read it. */
export function valuesBound(event: string, bounds: FrameBounds): number | null {
  if (event === 'presence') return bounds.maxPresenceValues
  return event === 'phx_join' || event === 'access_token' || event.startsWith('admin_') ? bounds.maxPayloadValues : null
}
