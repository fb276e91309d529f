/** FNV-1a of the UTF-16 code units of a text, 32 bits unsigned. Not for secrets: collisions are easy to make. */
export function fnv1a(text: string): number {
  let state = 0x811c9dc5
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193)
  return state >>> 0
}
