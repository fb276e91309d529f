import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** A certificate authority of a test, by the program `openssl`; its files are PEM. */
export class TestAuthority {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tidewire-ca-'))
  readonly #own: Certificate
  #issued = 0

  constructor() {
    this.#own = this.#files('ca')
    this.#openssl(['req', '-x509', ...newKey, '-subj', '/CN=test authority', '-days', '2', ...this.#out(this.#own)])
  }

  get cert(): string {
    return this.#own.cert
  }

  /** `name`: as a certificate names a server, `DNS:localhost` or `IP:127.0.0.1`. */
  issue(name: string): Certificate {
    const files = this.#files(`leaf-${++this.#issued}`)
    const [request, extensions] = [`${files.cert}.csr`, `${files.cert}.ext`]
    writeFileSync(extensions, `subjectAltName=${name}\nextendedKeyUsage=serverAuth,clientAuth\n`)
    this.#openssl(['req', ...newKey, '-subj', '/CN=leaf', '-keyout', files.key, '-out', request])
    const signed = ['-CA', this.#own.cert, '-CAkey', this.#own.key, '-CAcreateserial', '-days', '2', '-extfile', extensions]
    this.#openssl(['x509', '-req', '-in', request, ...signed, '-out', files.cert])
    return files
  }

  clear(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #files(name: string): Certificate {
    return { cert: join(this.#folder, `${name}.pem`), key: join(this.#folder, `${name}.key`) }
  }

  #out({ cert, key }: Certificate): string[] {
    return ['-keyout', key, '-out', cert]
  }

  #openssl(words: readonly string[]): void {
    execFileSync('openssl', words, { stdio: 'pipe' })
  }
}

const newKey = ['-newkey', 'rsa:2048', '-nodes']
