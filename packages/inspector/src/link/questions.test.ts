import { expect, test } from 'vitest'
import { Questions, Refusal, type Outgoing } from './questions.ts'

function asking(): { questions: Questions; sent: Outgoing[] } {
  const sent: Outgoing[] = []
  return { questions: new Questions((message) => sent.push(message)), sent }
}

test('a reply settles the question of its ref, once', async () => {
  const { questions, sent } = asking()
  const joined = questions.join({})
  const [first, second] = [questions.ask('admin_why', { a: 1 }), questions.ask('admin_sql', {})]
  const [join, why, sql] = sent
  expect(sent.map(({ event, join_ref: joinRef }) => [event, joinRef])).toEqual(
    ['phx_join', 'admin_why', 'admin_sql'].map((event) => [event, join!.ref]),
  )
  questions.answered(sql!.ref, { status: 'ok', response: 2 })
  questions.answered(sql!.ref, { status: 'error', response: {} })
  questions.answered(why!.ref, { status: 'error', response: { reason: 'Code: sentence' } })
  questions.answered(join!.ref, { status: 'ok', response: 'welcome' })
  questions.answered('unknown', { status: 'ok', response: 1 })
  await expect(joined).resolves.toBe('welcome')
  await expect(second).resolves.toBe(2)
  await expect(first).rejects.toThrow(new Refusal('Code: sentence'))
})

test('a lost connection settles all of them', async () => {
  const { questions } = asking()
  const asked = [questions.join({}), questions.ask('admin_why', {})]
  questions.failAll('lost')
  const settled = await Promise.allSettled(asked)
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(settled.every((each) => each.status === 'rejected' && !(each.reason instanceof Refusal))).toBe(true)
})

test('a refusal without a sentence still says something', async () => {
  const { questions, sent } = asking()
  const asked = questions.ask('admin_why', {})
  questions.answered(sent[0]!.ref, { status: 'error', response: null })
  await expect(asked).rejects.toThrow('The server refused without saying why.')
})
