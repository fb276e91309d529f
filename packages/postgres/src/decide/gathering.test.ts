import { expect, test } from 'vitest'
import { Gathering } from './gathering.ts'

/** Each call is answered by hand. */
function byHand(atOnce?: number): {
  readonly gathering: Gathering<number, string>
  readonly calls: { readonly questions: readonly number[]; readonly answer: () => void; readonly fail: () => void }[]
} {
  const calls: { readonly questions: readonly number[]; readonly answer: () => void; readonly fail: () => void }[] = []
  const gathering = new Gathering<number, string>(
    (questions) =>
      new Promise((resolve, reject) => {
        calls.push({ questions, answer: () => resolve(questions.map((n) => `answer ${n}`)), fail: () => reject(new Error('no database')) })
      }),
    atOnce === undefined ? {} : { atOnce },
  )
  return { gathering, calls }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

test('questions of one turn are asked together, and those that come meanwhile after them', async () => {
  const { gathering, calls } = byHand()
  const first = [gathering.ask(1), gathering.ask(2)]
  await turns()
  const second = [gathering.ask(3), gathering.ask(4)]
  await turns()
  expect(calls.map(({ questions }) => questions)).toEqual([[1, 2]])
  calls[0]!.answer()
  expect(await Promise.all(first)).toEqual(['answer 1', 'answer 2'])
  await turns()
  expect(calls.map(({ questions }) => questions)).toEqual([
    [1, 2],
    [3, 4],
  ])
  calls[1]!.answer()
  expect(await Promise.all(second)).toEqual(['answer 3', 'answer 4'])
  void gathering.ask(5)
  await turns()
  expect(calls[2]!.questions).toEqual([5])
})

test('when asking fails, those that were asked fail, and no others', async () => {
  const { gathering, calls } = byHand()
  const failed = Promise.allSettled([gathering.ask(1), gathering.ask(2)])
  await turns()
  const next = gathering.ask(3)
  calls[0]!.fail()
  expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await turns()
  calls[1]!.answer()
  expect(await next).toBe('answer 3')
})

test('as many calls as are permitted are on their way at once', async () => {
  const { gathering, calls } = byHand(2)
  const answers = [gathering.ask(1)]
  await turns()
  answers.push(gathering.ask(2))
  await turns()
  answers.push(gathering.ask(3), gathering.ask(4))
  await turns()
  expect(calls.map(({ questions }) => questions)).toEqual([[1], [2]])
  calls[1]!.answer()
  await turns()
  expect(calls[2]!.questions).toEqual([3, 4])
  calls[2]!.answer()
  calls[0]!.answer()
  expect(await Promise.all(answers)).toEqual(['answer 1', 'answer 2', 'answer 3', 'answer 4'])
})
