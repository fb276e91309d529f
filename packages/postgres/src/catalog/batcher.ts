import { isUnreachable } from './database-fault.ts'
import { halvesOf } from './halves.ts'

/**
 * Questions that come while others are being asked wait and are then asked together. A question is asked after it came:
 * no answer is older than its question.
 */
export class Batcher<Question, Answer> {
  readonly #askAll: (questions: readonly Question[]) => Promise<readonly Answer[]>
  readonly #atOnce: number
  readonly #atMost: number
  #waiting: Waiting<Question, Answer>[] = []
  #running = 0
  #due = false

  /** `askAll` answers in the order of the questions. `atOnce` calls of it may be on their way, of `atMost` questions each. */
  constructor(
    askAll: (questions: readonly Question[]) => Promise<readonly Answer[]>,
    { atOnce = 1, atMost = Infinity }: { readonly atOnce?: number; readonly atMost?: number } = {},
  ) {
    this.#askAll = askAll
    this.#atOnce = atOnce
    this.#atMost = atMost
  }

  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ question, resolve, reject })
      if (this.#due || this.#running >= this.#atOnce) return
      this.#due = true
      void Promise.resolve().then(() => this.#run())
    })
  }

  async #run(): Promise<void> {
    this.#due = false
    this.#running++
    while (this.#waiting.length > 0) {
      const asked = this.#waiting.slice(0, this.#atMost)
      this.#waiting = this.#waiting.slice(asked.length)
      await this.#answer(asked)
    }
    this.#running--
  }

  /** A question that cannot be answered fails alone; a database that cannot be reached fails all of them. */
  async #answer(asked: readonly Waiting<Question, Answer>[]): Promise<void> {
    try {
      const answers = await this.#askAll(asked.map(({ question }) => question))
      asked.forEach(({ resolve }, index) => resolve(answers[index]!))
    } catch (error) {
      if (asked.length === 1 || isUnreachable(error)) return asked.forEach(({ reject }) => reject(error))
      for (const half of halvesOf(asked)) await this.#answer(half)
    }
  }
}

interface Waiting<Question, Answer> {
  readonly question: Question
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}
