import fc, { type Arbitrary } from 'fast-check'

/** SQL that the sample types need. */
export const SAMPLE_TYPES_SQL = `
create extension citext;
create extension hstore;
create type mood as enum ('sad', 'so so', 'happy "yes"', 'naïve');
create type pair as (a int, "B b" text, t timestamptz, j json, f float8, raw bytea, tags text[]);
create type outer_pair as (p pair, "all" pair[], ok bool);
create type nothing as ();
create domain posint as int check (value > 0);
create domain pos_domain as posint;
create domain a_moment as timestamptz;
create domain a_float as float8;
create domain some_bytes as bytea;
create domain some_ints as int[];
create domain a_pair as pair;`

/** How a random value of a type is written in SQL, by type. */
export const SAMPLES: Readonly<Record<string, Arbitrary<string>>> = samples()

function samples(): Record<string, Arbitrary<string>> {
  const pad = (value: number, size: number): string => String(value).padStart(size, '0')
  const int = (bits: number): Arbitrary<string> => fc.bigInt(-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n).map(String)
  const special = fc.constantFrom('NaN', 'Infinity', '-Infinity')
  const digits = fc.tuple(fc.bigInt(-(10n ** 40n), 10n ** 40n), fc.integer({ min: 0, max: 40 })).map(([value, scale]) => {
    const text = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
    return `${value < 0n ? '-' : ''}${scale === 0 ? text : `${text.slice(0, -scale)}.${text.slice(-scale)}`}`
  })
  const text = fc.string({ unit: 'binary', maxLength: 12 }).map((value) => value.replaceAll('\0', ''))
  const awkward = fc.constantFrom(
    '',
    'NULL',
    'null',
    '{',
    '}',
    '"',
    '\\',
    ',',
    '(',
    ')',
    ' ',
    ' a ',
    '\n',
    '\t\b\f\r',
    '\u0001\u001f\u007f',
    '😀',
    "'",
    '{}',
    '\\x',
    '""',
  )
  const anyText = fc.oneof(
    text,
    awkward,
    fc.tuple(text, awkward).map((parts) => parts.join('')),
  )
  const number = fc.oneof(
    int(16),
    digits,
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.constantFrom('-0', '0.00', '-0.0', '1E5', '1e-7', '1.50e1', '12e-5', '0e10', '1e300'),
  )
  const year = fc.integer({ min: 1, max: 4_700 })
  const day = fc
    .tuple(year, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }))
    .map(([y, m, d]) => `${pad(y, 4)}-${pad(m, 2)}-${pad(d, 2)}`)
  const clock = fc
    .tuple(
      fc.integer({ min: 0, max: 23 }),
      fc.integer({ min: 0, max: 59 }),
      fc.integer({ min: 0, max: 59 }),
      fc.integer({ min: 0, max: 999_999 }),
    )
    .map(([h, m, s, us]) => `${pad(h, 2)}:${pad(m, 2)}:${pad(s, 2)}.${pad(us, 6)}`)
  const clocks = fc.oneof(clock, fc.constantFrom('00:00:00', '23:59:59.5', '12:34:56.100'))
  const zone = fc
    .tuple(fc.constantFrom('+', '-'), fc.integer({ min: 0, max: 14 }), fc.constantFrom('00', '30', '45'))
    .map(([sign, h, m]) => `${sign}${pad(h, 2)}:${m}`)
  const era = fc.constantFrom('', '', '', ' BC')
  const endless = fc.constantFrom('infinity', '-infinity')
  const moment = fc.oneof(
    fc.tuple(day, clocks, era).map(([d, t, e]) => `${d} ${t}${e}`),
    endless,
    fc.constant('123456-01-01 01:02:03'),
  )
  const zoned = fc.oneof(
    fc.tuple(day, clocks, zone, era).map(([d, t, z, e]) => `${d} ${t}${z}${e}`),
    endless,
    fc.constant('123456-01-01 01:02:03+00'),
  )
  const date = fc.oneof(
    fc.tuple(day, era).map((parts) => parts.join('')),
    endless,
  )
  const bytes = fc.uint8Array({ maxLength: 12 }).map((value) => `\\x${Buffer.from(value).toString('hex')}`)
  const float = fc.oneof(
    fc.double().map(floatText),
    special,
    fc.constantFrom('1e20', '1e-7', '1.5e300', '-0', '5e-324', '123456789012345680000'),
  )
  const bool = fc.constantFrom('t', 'f')
  const json = jsonTexts(number, anyText)
  const mood = fc.constantFrom('sad', 'so so', 'happy "yes"', 'naïve')
  const bits = (size: number): Arbitrary<string> =>
    fc.array(fc.constantFrom('0', '1'), { minLength: size, maxLength: size }).map((all) => all.join(''))
  const pair = row(int(32), anyText, zoned, json, float, bytes, array(anyText))
  const point = fc.tuple(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.integer()).map(([x, y]) => `(${floatText(x)},${y})`)
  const box = fc.tuple(point, point).map((corners) => corners.join(','))

  return {
    int2: int(16),
    int4: int(32),
    int8: fc.oneof(int(64), fc.constant('9007199254740993')),
    numeric: fc.oneof(digits, special, fc.constantFrom('0', '0.00', '1.10', '5.00', '1e100', '1e-100')),
    'numeric(20,6)': fc
      .bigInt(-(10n ** 19n), 10n ** 19n)
      .map((value) => `${value / 1_000_000n}.${pad(Number((value < 0n ? -value : value) % 1_000_000n), 6)}`),
    float4: fc.oneof(fc.float().map(floatText), special, fc.constantFrom('1e20', '1e-7', '3.4e38', '-0', '1e-45')),
    float8: float,
    bool,
    text: anyText,
    'varchar(20)': anyText.map((value) => Array.from(value).slice(0, 20).join('')),
    'char(5)': anyText.map((value) => Array.from(value).slice(0, 5).join('')),
    '"char"': fc.constantFrom('a', '"', '\\', ' '),
    name: anyText.map((value) => Array.from(value).slice(0, 10).join('')),
    citext: anyText,
    uuid: fc.uuid(),
    mood,
    bytea: bytes,
    date,
    time: clocks,
    timetz: fc.tuple(clocks, zone).map((parts) => parts.join('')),
    timestamp: moment,
    'timestamp(2)': moment,
    timestamptz: zoned,
    interval: fc.tuple(int(8), int(8), int(8), clocks).map(([y, m, d, t]) => `${y} years ${m} mons ${d} days ${t}`),
    json,
    jsonb: json,
    inet: fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.ipV4().map((ip) => `${ip}/12`),
    ),
    cidr: fc.constantFrom('10.0.0.0/8', '::/0'),
    macaddr: fc.constant('08:00:2b:01:02:03'),
    money: int(32),
    point,
    box,
    oid: fc.nat().map(String),
    regclass: fc.constantFrom('pg_class', 'pg_catalog.pg_type'),
    pg_lsn: fc.constant('16/B374D848'),
    tsvector: fc.constantFrom(`'a':1A 'b c':2`, `'it''s' 'é'`),
    tsquery: fc.constant(`'a' & !'b'`),
    xml: fc.constantFrom('<a b="c">é&amp;</a>', 'x'),
    'bit(8)': bits(8),
    varbit: bits(3),
    int4range: fc.constantFrom('[1,5)', '(,3]', 'empty', '(,)'),
    tstzrange: fc.constant('["2024-01-01 00:00:00+02",)'),
    int4multirange: fc.constant('{[1,2),[5,9)}'),
    int2vector: fc.array(int(16), { maxLength: 4 }).map((all) => all.join(' ')),
    oidvector: fc.array(fc.nat().map(String), { maxLength: 4 }).map((all) => all.join(' ')),
    'int4[]': fc.oneof(array(int(32)), fc.constantFrom('[0:2]={1,NULL,3}', '[-1:0][2:3]={{1,2},{3,4}}')),
    'text[]': array(anyText),
    'numeric[]': array(fc.oneof(digits, special)),
    'float8[]': array(float),
    'bool[]': array(bool),
    'timestamptz[]': array(zoned),
    'timestamp[]': array(moment),
    'json[]': array(json),
    'jsonb[]': array(json),
    'bytea[]': array(bytes),
    'mood[]': array(mood),
    'box[]': array(box, ';'),
    'pair[]': array(pair),
    pair,
    outer_pair: row(pair, array(pair), bool),
    nothing: fc.constant('()'),
    posint: fc.integer({ min: 1, max: 2 ** 31 - 1 }).map(String),
    pos_domain: fc.integer({ min: 1, max: 2 ** 31 - 1 }).map(String),
    a_moment: zoned,
    a_float: float,
    some_bytes: bytes,
    some_ints: array(int(32)),
    a_pair: pair,
  }
}

/** Postgres reads what JavaScript writes, save for the sign of zero. */
function floatText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

/** Arrays of one to three dimensions, with nulls. */
function array(element: Arbitrary<string>, delimiter = ','): Arbitrary<string> {
  const cell = fc.option(element, { freq: 5 }).map((value) => (value === null ? 'NULL' : `"${value.replace(/["\\]/g, '\\$&')}"`))
  const level = (inner: Arbitrary<string>, size: number): Arbitrary<string> =>
    fc.array(inner, { minLength: size, maxLength: size }).map((all) => `{${all.join(delimiter)}}`)
  return fc.oneof(
    fc.constant('{}'),
    fc.array(cell, { maxLength: 5 }).map((all) => `{${all.join(delimiter)}}`),
    level(level(cell, 2), 2),
    level(level(level(cell, 1), 2), 2),
  )
}

function row(...columns: Arbitrary<string>[]): Arbitrary<string> {
  const cells = columns.map((column) =>
    fc.option(column, { freq: 5 }).map((value) => (value === null ? '' : `"${value.replace(/["\\]/g, '$&$&')}"`)),
  )
  return fc.tuple(...cells).map((all) => `(${all.join(',')})`)
}

/** JSON as people may write it: spaces, repeated keys, escapes, exponents. */
function jsonTexts(number: Arbitrary<string>, anyText: Arbitrary<string>): Arbitrary<string> {
  const space = fc.constantFrom('', '', ' ', '\n\t ')
  const escaped = fc.constantFrom('"\\u00e9"', '"\\ud83d\\ude00"', '"\\/\\b\\f\\n\\r\\t\\"\\\\"', '"\\u0001"', '""')
  const string = fc.oneof(
    anyText.map((value) => JSON.stringify(value)),
    escaped,
  )
  const key = fc.oneof(string, fc.constantFrom('"a"', '"b"', '"aa"', '"é"', '"ｚ"', '"😀"'))
  return fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      number,
      string,
      fc.constantFrom('true', 'false', 'null'),
      fc
        .tuple(space, fc.array(fc.tuple(space, tie('value'), space), { maxLength: 4 }))
        .map(([gap, all]) => `[${gap}${all.map((parts) => parts.join('')).join(',')}]`),
      fc
        .tuple(space, fc.array(fc.tuple(space, key, space, tie('value'), space), { maxLength: 5 }))
        .map(
          ([gap, all]) =>
            `{${gap}${all.map(([before, name, middle, value, after]) => `${before}${name}${middle}:${value}${after}`).join(',')}}`,
        ),
    ),
  })).value
}
