import { jsonValue } from './decode.ts'
import { isJsonObject, type JsonObject, type Message } from '../message.ts'

/** The text around the user's payload in broadcasts that are alike, and the message that it stands for. */
interface Head {
  /** The text up to the colon of `"payload":`. */
  readonly start: string
  /** The text from the comma or the brace after the payload. */
  readonly end: string
  readonly envelope: Omit<Message, 'payload'>
  /** The message's payload with its keys in their order, and `MARK` where the user's stands. */
  readonly around: JsonObject
}

/** The most heads. Each costs a frame that begins otherwise a hundredth of its parse. */
const MOST_HEADS = 4
const LONGEST_HEAD = 1024
/** One in so many unknown frames is learnt: to learn a frame costs as much as to read it. */
const LEARN_ONE_IN = 32
const MARK = '\0payload\0'
const COLON = 0x3a

/**
 * Reads broadcasts in text frames of 2.0.0 by how earlier ones began and ended. In a stream like
 * `[null,null,"realtime:room","broadcast",{"event":"move","payload":…,"type":"broadcast"}]` only the payload differs, and only
 * that is parsed: the rest is half the cost of a short message.
 *
 * No frame is read otherwise than as a whole. `start` and `end` are what `JSON.stringify` writes before and after a value, so
 * with any value between them they are JSON, and it is known which. When what stands between them in a frame is one JSON value
 * by itself, a parser takes exactly that for it: no value goes on with the comma or brace that `end` begins with. When it
 * is not (more keys behind the payload, a second `payload` among them) the frame is not read here. In which order a server
 * writes its keys is not assumed: they are kept only if a frame that was read as a whole begins and ends like that.
 */
export class BroadcastHeads {
  readonly #known: Head[] = []
  #unknown = 0

  /** The message of a frame with a known start and end; `undefined` for every other frame. */
  read(text: string): Message | undefined {
    const known = this.#known
    for (let at = 0; at < known.length; at++) {
      const head = known[at]!
      const { start, end, envelope, around } = head
      // One character distinguishes most frames; and to cut and compare takes a quarter of the time of `startsWith`.
      if (text.charCodeAt(start.length - 1) !== COLON || text.slice(0, start.length) !== start || !text.endsWith(end)) continue
      const payload = jsonValue(text.slice(start.length, text.length - end.length))
      // The head that fitted last is tried first. One that misleads is forgotten: it costs more than it saves.
      known[at] = known[0]!
      known[0] = head
      if (payload === undefined) return void known.shift()
      const { joinRef, ref, topic, event } = envelope
      return { joinRef, ref, topic, event, payload: { ...around, payload } }
    }
    return undefined
  }

  /** Takes note of a frame that was read as a whole. */
  learn(text: string, { joinRef, ref, topic, event, payload }: Message): void {
    if (event !== 'broadcast' || !isJsonObject(payload) || this.#unknown++ % LEARN_ONE_IN > 0) return
    const around = { ...payload, payload: MARK }
    // Each receiver gets its own message, so it may hold no object but the payload.
    if (Object.values(around).some((value) => Object(value) === value)) return
    const [start = '', end = ''] = JSON.stringify([joinRef, ref, topic, event, around]).split(JSON.stringify(MARK))
    if (start.length + end.length > LONGEST_HEAD || !text.startsWith(start) || !text.endsWith(end)) return
    this.#known.unshift({ start, end, envelope: { joinRef, ref, topic, event }, around })
    this.#known.splice(MOST_HEADS)
  }
}
