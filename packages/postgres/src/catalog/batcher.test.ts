import { expect, test } from 'vitest'
import { Batcher } from './batcher.ts'

/** Each call is answered by hand. */
function byHand(atOnce?: number): {
  readonly batcher: Batcher<number, string>
  readonly calls: { readonly questions: readonly number[]; readonly answer: () => void; readonly fail: (error?: Error) => void }[]
} {
  const calls: { readonly questions: readonly number[]; readonly answer: () => void; readonly fail: (error?: Error) => void }[] = []
  const batcher = new Batcher<number, string>(
    (questions) =>
      new Promise((resolve, reject) => {
        calls.push({
          questions,
          answer: () => resolve(questions.map((n) => `answer ${n}`)),
          fail: (error: Error = Object.assign(new Error('no database'), { code: 'ECONNREFUSED' })) => reject(error),
        })
      }),
    atOnce === undefined ? {} : { atOnce },
  )
  return { batcher, calls }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
}

test('questions of one turn are asked together, and those that come meanwhile after them', async () => {
  const { batcher, calls } = byHand()
  const first = [batcher.ask(1), batcher.ask(2)]
  await turns()
  const second = [batcher.ask(3), batcher.ask(4)]
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
  void batcher.ask(5)
  await turns()
  expect(calls[2]!.questions).toEqual([5])
})

test('when the database cannot be reached, those that were asked fail, and no others', async () => {
  const { batcher, calls } = byHand()
  const failed = Promise.allSettled([batcher.ask(1), batcher.ask(2)])
  await turns()
  const next = batcher.ask(3)
  calls[0]!.fail()
  expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await turns()
  calls[1]!.answer()
  expect(await next).toBe('answer 3')
})

test('as many calls as are permitted are on their way at once', async () => {
  const { batcher, calls } = byHand(2)
  const answers = [batcher.ask(1)]
  await turns()
  answers.push(batcher.ask(2))
  await turns()
  answers.push(batcher.ask(3), batcher.ask(4))
  await turns()
  expect(calls.map(({ questions }) => questions)).toEqual([[1], [2]])
  calls[1]!.answer()
  await turns()
  expect(calls[2]!.questions).toEqual([3, 4])
  calls[2]!.answer()
  calls[0]!.answer()
  expect(await Promise.all(answers)).toEqual(['answer 1', 'answer 2', 'answer 3', 'answer 4'])
})

test('a question that cannot be answered fails alone', async () => {
  const { batcher, calls } = byHand()
  const answers = Promise.allSettled([batcher.ask(1), batcher.ask(2), batcher.ask(3)])
  await turns()
  calls[0]!.fail(new Error('invalid'))
  await turns()
  calls[1]!.answer()
  await turns()
  calls[2]!.fail(new Error('invalid'))
  await turns()
  calls[3]!.fail(new Error('invalid'))
  await turns()
  calls[4]!.answer()
  expect(calls.map(({ questions }) => questions)).toEqual([[1, 2, 3], [1], [2, 3], [2], [3]])
  expect((await answers).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})

test('of many questions, so many are asked together, and are answered before the others are asked', async () => {
  const asked: (readonly number[])[] = []
  const batcher = new Batcher<number, number>(
    (questions) => {
      asked.push(questions)
      return Promise.resolve(questions)
    },
    { atMost: 2 },
  )
  expect(await Promise.all([1, 2, 3, 4, 5].map((question) => batcher.ask(question)))).toEqual([1, 2, 3, 4, 5])
  expect(asked).toEqual([[1, 2], [3, 4], [5]])
})
