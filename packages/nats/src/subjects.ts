/** Brokers bound the length of a subject; a longer topic name is replaced by its hash. */
const MAX_KEY_BYTES = 512

/** The names under which nodes of one installation meet. The database's id keeps installations on one broker apart. */
export class Subjects {
  readonly #base: string
  readonly #hash: (text: string) => string

  /** `hash`: base64url of a cryptographic hash. */
  constructor(prefix: string, databaseId: string, hash: (text: string) => string) {
    this.#base = `${prefix}.${databaseId}`
    this.#hash = hash
  }

  topic(key: string): string {
    // No base64url text of a key has a tilde in it.
    const name = Buffer.byteLength(key) > MAX_KEY_BYTES ? `~${this.#hash(key)}` : Buffer.from(key).toString('base64url')
    return `${this.#base}.t.${name}`
  }

  /** Node messages and beats for all. */
  get all(): string {
    return `${this.#base}.n.all`
  }

  node(instance: string): string {
    return `${this.#base}.n.${instance}`
  }
}

/** A token of a subject: no dots, spaces or wildcards. */
function isSubjectToken(text: string): boolean {
  return /^[\w~=-]{1,64}$/.test(text)
}

/** Dots are allowed between tokens. */
export function isSubjectPrefix(text: string): boolean {
  return text.length <= 100 && text.split('.').every(isSubjectToken)
}
