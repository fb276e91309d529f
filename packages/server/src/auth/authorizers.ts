import type { Authorization, Authorizer, Runtime } from '../ports.ts'

/** Measures how long each question takes, in milliseconds. */
export function timedAuthorizer(authorizer: Authorizer, runtime: Pick<Runtime, 'uptime'>, measured: (ms: number) => void): Authorizer {
  const time = async (ask: () => Promise<Authorization>): Promise<Authorization> => {
    const at = runtime.uptime()
    const authorization = await ask()
    measured(runtime.uptime() - at)
    return authorization
  }
  return {
    read: (request) => time(() => authorizer.read(request)),
    write: (request) => time(() => authorizer.write(request)),
  }
}

const NO_DATABASE = 'private channels are decided by policies in Postgres, and this server was started without a database'

/** For a server without a database: private channels are refused with the reason. */
export const noAuthorizer: Authorizer = {
  read: () => Promise.resolve({ ok: false, reason: `Unauthorized: ${NO_DATABASE}` }),
  write: () => Promise.resolve({ ok: true, broadcast: false, presence: false, detail: NO_DATABASE }),
}
