import { nkeys } from '@nats-io/transport-node'

type Key = ReturnType<typeof nkeys.createUser>

const text = new TextEncoder()
const HEAD = base64url(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' }))

/** An operator with one account, as `nsc` makes them: a server that trusts it knows users by what the account signs. */
export class Operator {
  readonly #operator: Key = nkeys.createOperator()
  readonly #account: Key = nkeys.createAccount()

  /** For the configuration of a server. */
  get configuration(): string {
    const unlimited = Object.fromEntries(['subs', 'data', 'payload', 'imports', 'exports', 'conn', 'leaf'].map((name) => [name, -1]))
    const account = this.#signed(this.#operator, this.#account, { type: 'account', limits: { ...unlimited, wildcards: true } })
    const operator = this.#signed(this.#operator, this.#operator, { type: 'operator' })
    return `operator: "${operator}"\nresolver: MEMORY\nresolver_preload: { ${this.#account.getPublicKey()}: "${account}" }`
  }

  /** The text of a credentials file. `subjects`: what its user may publish and subscribe to. */
  credentials(subjects: string, expiresAt?: number): string {
    const user = nkeys.createUser()
    const allowed = { pub: { allow: [subjects] }, sub: { allow: [subjects] } }
    const jwt = this.#signed(this.#account, user, { type: 'user', ...allowed, subs: -1, data: -1, payload: -1 }, expiresAt)
    const seed = new TextDecoder().decode(user.getSeed())
    return [
      ...['-----BEGIN NATS USER JWT-----', jwt, '------END NATS USER JWT------', ''],
      ...['-----BEGIN USER NKEY SEED-----', seed, '------END USER NKEY SEED------', ''],
    ].join('\n')
  }

  #signed(issuer: Key, subject: Key, nats: object, exp?: number): string {
    const claims = { iat: Math.floor(Date.now() / 1000) - 5, iss: issuer.getPublicKey(), sub: subject.getPublicKey(), name: 'test' }
    const body = base64url(
      JSON.stringify({ ...claims, ...(exp !== undefined && { exp }), jti: subject.getPublicKey(), nats: { ...nats, version: 2 } }),
    )
    return `${HEAD}.${body}.${Buffer.from(issuer.sign(text.encode(`${HEAD}.${body}`))).toString('base64url')}`
  }
}

function base64url(value: string): string {
  return Buffer.from(value).toString('base64url')
}
