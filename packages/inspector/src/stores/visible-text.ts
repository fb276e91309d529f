/**
 * Characters that are invisible or reorder the text: control and format characters, bidirectional marks and
 * overrides, zero-width characters, line separators, and halves of surrogate pairs. U+FE0F stays: it makes emoji of signs.
 */
const HIDDEN = /(?!\ufe0f)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

/** The text with hidden characters written as escapes such as `\u202e`. Line breaks and tabs stay where `keepLines`. */
export function visibleText(text: string, keepLines = false): string {
  return text.replace(HIDDEN, (found) => (keepLines && (found === '\n' || found === '\t') ? found : escapeOf(found)))
}

export interface CutText {
  readonly text: string
  /** How many characters were left out. */
  readonly more: number
}

/** At most `limit` characters, never half of a pair. */
export function cutText(text: string, limit: number): CutText {
  if (text.length <= limit) return { text, more: 0 }
  const last = text.charCodeAt(limit - 1)
  const end = last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit
  return { text: text.slice(0, end), more: text.length - end }
}

function escapeOf(character: string): string {
  const code = character.codePointAt(0)!
  if (character === '\n') return '\\n'
  if (character === '\t') return '\\t'
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`
}
