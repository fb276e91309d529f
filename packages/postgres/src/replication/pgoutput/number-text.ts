/** What the type numeric, and with it jsonb, can hold. */
const MAX_WHOLE_DIGITS = 131_072
const MAX_FRACTION_DIGITS = 16_383

/**
 * A decimal number in the form that jsonb gives it: without exponent and without a negative zero, its digits kept
 * (`1.50` stays `1.50`, `1e3` is `1000`). `null`: not a number, or one that jsonb cannot hold.
 */
export function plainNumber(text: string): string | null {
  if (/^(?:0|[1-9]\d{0,30})$/.test(text)) return text
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,9}))?$/.exec(text)
  if (parts === null) return null
  const [, sign, whole, fraction = '', exponent = '0'] = parts as unknown as [string, string, string, string?, string?]
  const digits = whole + fraction
  const point = whole.length + Number(exponent)
  const scale = Math.max(0, digits.length - point)
  if (scale > MAX_FRACTION_DIGITS) return null
  const zero = /^0+$/.test(digits)
  const wholePart = (zero || point <= 0 ? '' : digits.slice(0, point).padEnd(Math.min(point, MAX_WHOLE_DIGITS + 1), '0')).replace(/^0+/, '')
  if (wholePart.length > MAX_WHOLE_DIGITS) return null
  const fractionPart = scale === 0 ? '' : digits.slice(Math.max(0, point)).padStart(scale, '0')
  return `${zero ? '' : sign}${wholePart === '' ? '0' : wholePart}${fractionPart === '' ? '' : `.${fractionPart}`}`
}
