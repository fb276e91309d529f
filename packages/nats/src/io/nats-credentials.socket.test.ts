/** How a node proves itself to a real server, and the server to the node. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, natsServerPath, programPath, textMessage, type NatsServer } from '@tidewire/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestAuthority } from '../../test/certificates.ts'
import { Operator } from '../../test/operator.ts'
import { isDownWith, useNats } from '../../test/relays.ts'
import type { NatsCredentials } from '../address.ts'

const room = { name: 'room', private: false }

describe.skipIf(natsServerPath() === undefined)('credentials', () => {
  const { natsServer, begin, later } = useNats()

  function credentialsFile(text: string): { readonly credentials: NatsCredentials; readonly path: string } {
    const folder = mkdtempSync(join(tmpdir(), 'tidewire-creds-'))
    later(() => rmSync(folder, { recursive: true, force: true }))
    const path = join(folder, 'node.creds')
    writeFileSync(path, text, { mode: 0o600 })
    return { credentials: { kind: 'file', path }, path }
  }

  it.each<[string, string, NatsCredentials]>([
    ['a token', 'authorization { token: "right" }', { kind: 'token', token: 'wrong' }],
    ['user and password', 'authorization { user: "u", password: "right" }', { kind: 'password', user: 'u', password: 'wrong' }],
  ])('says that it was refused with %s, without the secret, and goes on trying', async (what, configuration, credentials) => {
    const nats = await natsServer(configuration)
    const refused = begin(nats.url, { credentials })
    await eventually(() => isDownWith(refused, new RegExp(`refused the credentials \\(${what}\\)`)))
    expect(JSON.stringify(refused.seen.links)).not.toContain('wrong')
    const bare = begin(nats.url)
    await eventually(() => isDownWith(bare, /asks for credentials, and none are configured/))
    const right = credentials.kind === 'token' ? { ...credentials, token: 'right' } : { ...credentials, password: 'right' }
    const good = begin(nats.url, { credentials: right as NatsCredentials })
    await eventually(() => good.relay.link.state === 'up')
  })

  it('says which permission is missing', async () => {
    const permissions = 'permissions: { subscribe: ["other.>"], publish: ["tidewire.>"] }'
    const nats = await natsServer(`authorization { users: [{ user: "u", password: "p", ${permissions} }] }`)
    const denied = begin(nats.url, { credentials: { kind: 'password', user: 'u', password: 'p' } })
    await eventually(() => isDownWith(denied, /does not let this user subscribe to tidewire\.db\.n/))
    expect(denied.relay.link.state).toBe('down')
    expect(denied.seen.faults.some(({ code }) => code === 'broker')).toBe(true)
  })

  it('carries messages between nodes whose files one operator has signed', async () => {
    const operator = new Operator()
    const nats = await natsServer(operator.configuration)
    const [a, b] = ['a', 'b'].map((name) =>
      begin(nats.url, { name, credentials: credentialsFile(operator.credentials('tidewire.>')).credentials }),
    )
    await eventually(() => a!.relay.peers.length === 1 && b!.relay.peers.length === 1)
    expect(await b!.relay.interest(room).ready).not.toBe(false)
    a!.relay.publish(room, [textMessage('signed')])
    await eventually(() => b!.seen.texts.includes('signed'))
  })

  it('is refused with the file of another operator, says so without its seed, and comes up once the file is the right one', async () => {
    const operator = new Operator()
    const nats = await natsServer(operator.configuration)
    const strange = new Operator().credentials('tidewire.>')
    const { credentials, path } = credentialsFile(strange)
    const refused = begin(nats.url, { credentials })
    await eventually(() => isDownWith(refused, /refused the credentials \(a credentials file\)/))
    const [, seed] = /(SU[A-Z0-9]+)/.exec(strange)!
    expect(JSON.stringify([refused.seen.links, refused.seen.faults])).not.toContain(seed)
    writeFileSync(path, operator.credentials('tidewire.>'))
    await eventually(() => refused.relay.link.state === 'up', 15_000)
  })

  it('is refused with a file that has expired', async () => {
    const operator = new Operator()
    const nats = await natsServer(operator.configuration)
    const { credentials } = credentialsFile(operator.credentials('tidewire.>', Math.floor(Date.now() / 1000) - 1))
    const expired = begin(nats.url, { credentials })
    await eventually(() => isDownWith(expired, /refused the credentials \(a credentials file\)/))
  })

  it('says so when its file expires while it is connected, and goes on with a new one', async () => {
    const operator = new Operator()
    const nats = await natsServer(operator.configuration)
    const { credentials, path } = credentialsFile(operator.credentials('tidewire.>', Math.floor(Date.now() / 1000) + 3))
    const node = begin(nats.url, { credentials })
    await eventually(() => node.relay.link.state === 'up')
    await eventually(() => isDownWith(node, /expired/i), 10_000)
    writeFileSync(path, operator.credentials('tidewire.>'))
    await eventually(() => node.relay.link.state === 'up', 15_000)
  })

  it('says that the file of a user with too few permissions is one', async () => {
    const operator = new Operator()
    const nats = await natsServer(operator.configuration)
    const denied = begin(nats.url, { credentials: credentialsFile(operator.credentials('other.>')).credentials })
    await eventually(() => isDownWith(denied, /does not let this user (subscribe|publish) to tidewire\.db\.n/))
  })

  it.each(['', 'no credentials at all', '-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n'])(
    'says that a file with %j is no credentials file',
    async (text) => {
      const nats = await natsServer()
      const { credentials, path } = credentialsFile(text)
      const node = begin(nats.url, { credentials })
      await eventually(() => isDownWith(node, new RegExp(`The credentials file ${path} cannot be used`)))
    },
  )

  it('says that a credentials file is missing', async () => {
    const nats = await natsServer()
    const node = begin(nats.url, { credentials: { kind: 'file', path: '/nowhere/node.creds' } })
    await eventually(() => isDownWith(node, /^The credentials file \/nowhere\/node.creds does not exist$/))
  })
})

describe.skipIf(natsServerPath() === undefined)('encryption', () => {
  const { natsServer, begin } = useNats()

  it('refuses a server without TLS where TLS is required', async () => {
    const nats = await natsServer()
    const node = begin(nats.url.replace('nats:', 'tls:'))
    await eventually(() => isDownWith(node, /offers no TLS/))
  })

  describe.skipIf(programPath('openssl') === undefined)('with certificates', () => {
    let authority: TestAuthority
    beforeAll(() => void (authority = new TestAuthority()))
    afterAll(() => authority.clear())

    function secured(name: string, more = ''): Promise<NatsServer> {
      const { cert, key } = authority.issue(name)
      return natsServer(`tls { cert_file: "${cert}", key_file: "${key}"${more} }`)
    }

    it('trusts a server that its authority has signed, by address and by name, and no other', async () => {
      const nats = await secured('IP:127.0.0.1,DNS:localhost')
      for (const place of ['127.0.0.1', 'localhost']) {
        const url = `tls://${place}:${nats.port}`
        const trusting = begin(url, { tls: { caFile: authority.cert } })
        await eventually(() => trusting.relay.link.state === 'up')
        const strict = begin(url)
        await eventually(() => isDownWith(strict, /unable to verify|self.signed certificate/))
        expect(strict.relay.link.state).toBe('down')
      }
    })

    it('refuses a server whose certificate names another', async () => {
      const nats = await secured('DNS:elsewhere.example')
      for (const place of ['127.0.0.1', 'localhost']) {
        const node = begin(`tls://${place}:${nats.port}`, { tls: { caFile: authority.cert } })
        await eventually(() => isDownWith(node, /does not match certificate/))
      }
    })

    it('shows a certificate of its own where the server asks for one', async () => {
      const nats = await secured('IP:127.0.0.1', `, ca_file: "${authority.cert}", verify: true`)
      const { cert, key } = authority.issue('DNS:node')
      const known = begin(nats.url, { tls: { caFile: authority.cert, certFile: cert, keyFile: key } })
      await eventually(() => known.relay.link.state === 'up')
      const unknown = begin(nats.url, { tls: { caFile: authority.cert } })
      await eventually(() => isDownWith(unknown, /is not reachable: .*(certificate|closed)/i))
      expect(unknown.relay.link.state).toBe('down')
    })
  })
})
