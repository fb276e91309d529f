/** Tables, columns, types and publications are altered at random while rows come under live filters: what arrives is what SQL says. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed
beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table bystander (id serial primary key); create type pair as (a int, b text);
     grant all on bystander to anon; alter publication supabase_realtime add table bystander;
     alter default privileges in schema public grant all on tables to anon`,
    { refreshIntervalMs: 200 },
  )
})
afterAll(() => it.close())

const TYPES = ['int', 'bigint', 'numeric', 'text', 'date', 'varchar(20)'] as const
const VALUES: Readonly<Record<(typeof TYPES)[number], readonly string[]>> = {
  int: ['3', '5', '7', '40'],
  bigint: ['3', '5', '7', '40'],
  numeric: ['3', '5.5', '5.50', '40'],
  text: ['3', '5', 'abc', '40'],
  date: ['2024-02-29', '2025-01-01'],
  'varchar(20)': ['3', '5', 'abc'],
}
const FILTERS = ['v=gt.5', 'v=eq.5', 'v=in.(5,7)', 'v=not.eq.5', 'v=like.%5%', 'other=is.null', ''] as const

type Step =
  | { readonly kind: 'insert' }
  | { readonly kind: 'retype'; readonly type: (typeof TYPES)[number] }
  | { readonly kind: 'alter'; readonly how: 'add' | 'drop' | 'identity' | 'key' }
  | { readonly kind: 'transaction'; readonly type: (typeof TYPES)[number] }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ kind: 'insert' }) },
  { weight: 3, arbitrary: fc.constantFrom(...TYPES).map((type): Step => ({ kind: 'retype', type })) },
  { weight: 2, arbitrary: fc.constantFrom('add', 'drop', 'identity', 'key').map((how): Step => ({ kind: 'alter', how })) },
  { weight: 2, arbitrary: fc.constantFrom(...TYPES).map((type): Step => ({ kind: 'transaction', type })) },
)

/** Which rows SQL finds with the filter; `null` where it makes no sense for the type. */
async function matching(table: string, filter: string): Promise<readonly number[] | null> {
  const conditions: Readonly<Record<string, string>> = {
    'v=gt.5': `v > '5'`,
    'v=eq.5': `v = '5'`,
    'v=in.(5,7)': `v in ('5', '7')`,
    'v=not.eq.5': `not v = '5'`,
    'v=like.%5%': `v like '%5%'`,
    'other=is.null': 'other is null',
    '': 'true',
  }
  await it.sql.query('savepoint asked')
  try {
    const { rows } = await it.sql.query<{ id: number }>(`select id from ${table} where ${conditions[filter]} order by id`)
    return rows.map(({ id }) => id)
  } catch {
    await it.sql.query('rollback to savepoint asked')
    return null
  }
}

/** A table under one filter, and which of its rows have to come. */
class Altered {
  readonly name: string
  readonly #filter: string
  #type: (typeof TYPES)[number]
  #pick = 0
  readonly wanted = new Set<number>()
  /** By the types of a transaction that alters them, before or after. */
  readonly possible = new Set<number>()

  constructor(name: string, filter: string, type: (typeof TYPES)[number]) {
    this.name = name
    this.#filter = filter
    this.#type = type
  }

  async take(step: Step): Promise<void> {
    const { name } = this
    await it.sql.query('begin')
    if (step.kind === 'insert') await this.#insert(true)
    else if (step.kind === 'retype') await this.#retype(step.type)
    else if (step.kind === 'transaction') {
      await this.#insert(false)
      await this.#retype(step.type)
      await this.#insert(true)
    } else await it.sql.query(ALTERATIONS[step.how].replaceAll('T', name))
    await it.sql.query('commit')
  }

  async #insert(isCertain: boolean): Promise<void> {
    const values = VALUES[this.#type]
    const value = values[this.#pick++ % values.length]
    const { rows } = await it.sql.query<{ id: number }>(`insert into ${this.name} (v) values ('${value}') returning id`)
    const { id } = rows[0]!
    const matches = (await matching(this.name, this.#filter))?.includes(id) === true
    if (matches || !isCertain) this.possible.add(id)
    if (matches && isCertain) this.wanted.add(id)
  }

  async #retype(to: (typeof TYPES)[number]): Promise<void> {
    await it.sql.query(`alter table ${this.name} alter v type ${to} using null::${to}`)
    this.#type = to
  }
}

const ALTERATIONS = {
  add: `alter table T add column if not exists extra pair default row(1, 'x')`,
  drop: 'alter table T drop column if exists extra',
  identity: 'alter table T replica identity full',
  key: 'alter table T drop constraint T_pkey; alter table T add constraint T_pkey primary key (id)',
} as const

let tables = 0

test('whatever is altered, rows come as SQL chooses them, or with a notice, and others go on', { timeout: 120_000 }, async () => {
  const bystander = it.open({ entries: [{ schema: 'public', table: 'bystander' }] })
  await bystander.subscribed()
  let bystanders = 0
  const play = async (type: (typeof TYPES)[number], filter: string, steps: readonly Step[]): Promise<void> => {
    const table = new Altered(`altered_${++tables}`, filter, type)
    const { name, wanted, possible } = table
    await it.sql.query(
      `create table ${name} (id serial primary key, v ${type}, other text); alter publication supabase_realtime add table ${name}`,
    )
    const channel = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: name, filter }], identity: asRole('anon') })
    await channel.until(() => channel.systems.length > 0)
    for (const each of steps) {
      await table.take(each)
      // By the types of then: what comes later is not to be known yet.
      await it.sql.query('insert into bystander default values')
      await bystander.received(++bystanders)
    }
    const ids = (): number[] => channel.changes.map(({ data }) => data.record!['id'] as number)
    const isNotified = (): boolean => channel.systems.some(({ status, extra }) => status === 'error' && extra?.['code'] !== undefined)
    await channel.until(() => isNotified() || [...wanted].every((id) => ids().includes(id)), `${name}: ${filter} of ${[...wanted].join()}`)
    expect(ids()).toEqual(ids().toSorted((a, b) => a - b))
    expect(ids().filter((id) => !possible.has(id))).toEqual([])
    channel.handle.close()
    await it.sql.query(`drop table ${name}`)
  }
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...TYPES), fc.constantFrom(...FILTERS), fc.array(step, { minLength: 3, maxLength: 8 }), play),
    { numRuns: Number(process.env['TIDEWIRE_CASES'] ?? 25), endOnFailure: true },
  )
  bystander.handle.close()
})

test('values of a composite type are written as its type is now', async () => {
  await it.sql.query(
    `create type address as (street text, zip text); create table parcels (id int primary key, a address, more address[]);
     alter publication supabase_realtime add table parcels`,
  )
  const channel = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: 'parcels' }] })
  await channel.subscribed()
  const alterations = [
    '',
    'alter type address rename attribute street to road',
    'alter type address add attribute land text',
    'alter type address drop attribute zip',
    'alter type address rename to place',
  ]
  for (const [id, alteration] of alterations.entries()) {
    await it.sql.query(alteration)
    const fields = id < 2 ? `row('s', 'z')` : id === 2 ? `row('s', 'z', 'l')` : `row('s', 'l')`
    await it.sql.query(`insert into parcels values (${id}, ${fields}, array[${fields}]::${id < 4 ? 'address' : 'place'}[])`)
    await channel.received(id + 1)
    const { rows } = await it.sql.query<{ row: object }>('select to_jsonb(p) as row from parcels p where id = $1', [id])
    expect(channel.changes.at(-1)!.data.record).toEqual(rows[0]!.row)
  }
  channel.handle.close()
})

test('rows have their keys in the order of the attributes, nested and in arrays, whether or not their type was altered', async () => {
  await it.sql.query(
    `create type inner_pair as (long_name int, a json); create type outer_pair as (z inner_pair, list inner_pair[], b int);
     create table nested (id int primary key, v outer_pair, many outer_pair[]);
     alter publication supabase_realtime add table nested`,
  )
  const channel = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: 'nested' }] })
  await channel.subscribed()
  const inner = `row(1, '{"y": 1, "x": [2]}')::inner_pair`
  const insert = (id: number): string =>
    `insert into nested select ${id}, v, array[v] from (select row(${inner}, array[${inner}], 2)::outer_pair as v) made`
  await it.sql.query(insert(1))
  await channel.received(1)
  await it.sql.query('alter type inner_pair rename attribute long_name to longer_name')
  await it.sql.query(insert(2))
  await channel.received(2)
  const written = (name: string): string => {
    const pair = `{"${name}":1,"a":{"y":1,"x":[2]}}`
    return `{"z":${pair},"list":[${pair}],"b":2}`
  }
  for (const [index, name] of ['long_name', 'longer_name'].entries()) {
    const { v, many } = channel.changes[index]!.data.record!
    expect(JSON.stringify(v)).toBe(written(name))
    expect(JSON.stringify(many)).toBe(`[${written(name)}]`)
  }
  channel.handle.close()
})
