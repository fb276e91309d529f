import { describe, expect, test } from 'vitest'
import { emptyWhyForm, parseWhy, questionAbout, type WhyForm } from './why-form.ts'

const form = (change: Partial<WhyForm>): WhyForm => ({ ...emptyWhyForm, ...change })

describe('the form of "Why?"', () => {
  test('asks about a topic for a connection', () => {
    expect(parseWhy(form({ connection: 'c1', topic: ' room:1 ' }))).toEqual({
      ok: true,
      question: { about: 'topic', user: { connection: 'c1' }, topic: 'room:1', private: true },
    })
  })

  test('asks about a row for a role with claims', () => {
    const asked = parseWhy(form({ about: 'change', claims: '{"sub":"u1"}', table: 'todos', key: 'id = 5, org=a=b', filter: 'id=eq.5' }))
    expect(asked).toEqual({
      ok: true,
      question: {
        about: 'change',
        user: { role: 'authenticated', claims: { sub: 'u1' } },
        schema: 'public',
        table: 'todos',
        key: { id: '5', org: 'a=b' },
        filter: 'id=eq.5',
      },
    })
  })

  test('takes a schema, and no filter', () => {
    const asked = parseWhy(form({ about: 'change', claims: '', table: 'app.todos', key: 'id=5' }))
    expect(asked).toMatchObject({ ok: true, question: { schema: 'app', table: 'todos', user: { claims: {} } } })
    expect(asked).not.toHaveProperty('question.filter')
  })

  test.each<[Partial<WhyForm>, RegExp]>([
    [{ topic: '' }, /topic/],
    [{ topic: 'a', role: ' ' }, /role/],
    [{ topic: 'a', claims: '{' }, /JSON/],
    [{ topic: 'a', claims: '[]' }, /object/],
    [{ about: 'change', table: '', key: 'id=1' }, /table/],
    [{ about: 'change', table: 'todos', key: '5' }, /primary key/],
    [{ about: 'change', table: 'todos', key: '' }, /primary key/],
  ])('says what is missing in %j', (change, fault) => {
    expect(parseWhy(form(change))).toEqual({ ok: false, fault: expect.stringMatching(fault) })
  })
})

describe('a question from a row of the log', () => {
  test('knows the topic and who it was', () => {
    const row = { id: 1, at: 0, kind: 'decision', topic: 'room', private: true, connection: 'c1' } as const
    expect(questionAbout(row)).toEqual({ about: 'topic', topic: 'room', private: true, connection: 'c1' })
  })

  test.each([
    ['{"data":{"record":{"title":"x","id":5}}}', 'id=5'],
    ['{"record":{"id":"a-b"}}', 'id=a-b'],
    ['{"old_record":{"id":7}}', 'id=7'],
    ['{"record":{"number":7}}', ''],
    ['{"columns":[{"name":"id"}],"record":{"tit', ''],
  ])('finds the key in %s', (payload, key) => {
    expect(questionAbout({ id: 1, at: 0, kind: 'change', detail: 'public.todos', payload })).toEqual({
      about: 'change',
      table: 'public.todos',
      key,
    })
  })
})
