import fc from 'fast-check'

/** White space as JSON allows it between tokens; mostly none, as in what clients write. */
const space = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 3 }) },
)

const digits = fc.string({ unit: fc.constantFrom(...'0123456789'.split('')), minLength: 1, maxLength: 30 })

/** Numbers as text, with more digits than a double keeps. */
const numberText = fc
  .tuple(fc.boolean(), digits, fc.option(digits), fc.option(fc.tuple(fc.constantFrom('e', 'E', 'e+', 'E-'), fc.nat(400))))
  .map(
    ([negative, whole, fraction, exponent]) =>
      `${negative ? '-' : ''}${whole.replace(/^0+(?=\d)/, '')}${fraction === null ? '' : `.${fraction}`}${exponent === null ? '' : exponent.join('')}`,
  )

/** Any string, lone surrogates among them, each character written in one of the ways JSON has for it. */
export const stringText: fc.Arbitrary<string> = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom(...'"\\/,[]{}:\b\n'.split('')), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })),
      fc.boolean(),
    ),
    {
      maxLength: 8,
    },
  )
  .map(
    (characters) =>
      `"${characters.map(([character, escaped]) => (escaped ? escapedUnits(character) : JSON.stringify(character).slice(1, -1))).join('')}"`,
  )

function escapedUnits(character: string): string {
  return Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')
}

const spaced = (arbitrary: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(space, arbitrary, space).map(([before, text, after]) => before + text + after)

const { value } = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false', '{}', '[]'),
    numberText,
    stringText,
    tie('array'),
    tie('object'),
  ),
  array: fc
    .tuple(space, fc.array(spaced(tie('value')), { maxLength: 4 }))
    .map(([inner, items]) => `[${items.length === 0 ? inner : items.join(',')}]`),
  object: fc
    .tuple(
      space,
      fc.array(fc.tuple(spaced(fc.oneof(stringText, fc.constantFrom('"payload"', '"__proto__"'))), spaced(tie('value'))), { maxLength: 4 }),
    )
    .map(([inner, members]) => `{${members.length === 0 ? inner : members.map(([key, text]) => `${key}:${text}`).join(',')}}`),
}))

/** The text of any JSON value: odd spacing and escapes, repeated keys, numbers of any length. */
export const jsonText: fc.Arbitrary<string> = value

export { spaced }

/** Names as they stand in frames: any text without lone surrogates, short enough for a binary frame. */
export const name: fc.Arbitrary<string> = fc
  .oneof(
    fc.constantFrom('realtime:room', 'phoenix', 'broadcast', 'phx_join', ''),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
  )
  .filter((text) => !/\p{Surrogate}/u.test(text) && new TextEncoder().encode(text).length <= 255)

/** Refs that text frames keep: a ref is echoed, so it must come through as it was. */
export const ref: fc.Arbitrary<string | number | null> = fc.oneof(
  fc.constant(null),
  fc.string({ maxLength: 10 }),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Object.is(number, -0)),
)
