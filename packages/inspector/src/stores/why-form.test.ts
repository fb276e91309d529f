import { describe, expect, test } from 'vitest'
import { emptyWhyForm, parseWhy, questionAbout, tableOf, type WhyForm } from './why-form.ts'

const id = { name: 'id', type: 'integer' }
const org = { name: 'the org', type: 'text' }
const row = (...values: readonly (readonly [string, string])[]): WhyForm['row'] => new Map(values)

const form = (change: Partial<WhyForm>): WhyForm => ({ ...emptyWhyForm, ...change })

describe('the form of "Why?"', () => {
  test('asks about a topic for a connection', () => {
    expect(parseWhy(form({ connection: 'c1', topic: ' room:1 ' }), [])).toEqual({
      ok: true,
      question: { about: 'topic', user: { connection: 'c1' }, topic: 'room:1', private: true },
    })
  })

  test('asks about a row for a role with claims', () => {
    const values = row(['id', ' 5 '], ['the org', 'a=b'], ['title', 'x'])
    const asked = parseWhy(form({ about: 'change', claims: '{"sub":"u1"}', table: 'todos', row: values, filter: 'id=eq.5' }), [org, id])
    expect(asked).toEqual({
      ok: true,
      question: {
        about: 'change',
        user: { role: 'authenticated', claims: { sub: 'u1' } },
        schema: 'public',
        table: 'todos',
        key: { id: '5', 'the org': 'a=b' },
        filter: 'id=eq.5',
      },
    })
  })

  test('takes a schema, and no filter', () => {
    const asked = parseWhy(form({ about: 'change', claims: '', table: 'app.todos', row: row(['id', '5']) }), [id])
    expect(asked).toMatchObject({ ok: true, question: { schema: 'app', table: 'todos', user: { claims: {} } } })
    expect(asked).not.toHaveProperty('question.filter')
  })

  test.each<[Partial<WhyForm>, RegExp]>([
    [{ topic: '' }, /topic/],
    [{ topic: 'a', role: ' ' }, /role/],
    [{ topic: 'a', claims: '{' }, /JSON/],
    [{ topic: 'a', claims: '[]' }, /object/],
    [{ about: 'change', table: '' }, /table/],
    [{ about: 'change', table: 'app.', row: row(['id', '1']) }, /table/],
    [{ about: 'change', table: 'todos' }, /its id/],
    [{ about: 'change', table: 'todos', row: row(['id', '1'], ['the org', ' ']) }, /its the org/],
  ])('says what is missing in %j', (change, fault) => {
    expect(parseWhy(form(change), [id, org])).toEqual({ ok: false, fault: expect.stringMatching(fault) })
  })
})

describe('a question from a row of the log', () => {
  test('knows the topic and the user', () => {
    const row = { id: 1, at: 0, kind: 'decision', topic: 'room', private: true, connection: 'c1' } as const
    expect(questionAbout(row)).toEqual({ about: 'topic', topic: 'room', private: true, connection: 'c1' })
  })

  test('leaves open what a decision does not know', () => {
    const row = { id: 1, at: 0, kind: 'decision', topic: 'room', event: 'malformed-join' } as const
    expect(questionAbout(row)).toEqual({ about: 'topic', topic: 'room' })
  })

  test('knows the table, and what the row holds', () => {
    const payload = '{"data":{"record":{"title":"x","id":5}},"ids":[1]}'
    expect(questionAbout({ id: 1, at: 0, kind: 'change', detail: 'public.todos', payload })).toEqual({
      about: 'change',
      table: 'public.todos',
      row: row(['title', 'x'], ['id', '5']),
    })
    expect(questionAbout({ id: 1, at: 0, kind: 'change', detail: 'public.todos' })).toMatchObject({ row: row() })
  })
})

describe('a table', () => {
  test.each([
    ['todos', { schema: 'public', table: 'todos' }],
    [' app.todos ', { schema: 'app', table: 'todos' }],
    ['app.odd.name', { schema: 'app', table: 'odd.name' }],
    ['', null],
    ['app.', null],
  ])('%j', (table, named) => {
    expect(tableOf({ table })).toEqual(named)
  })
})
