import type { Authorization, Authorizer, Runtime } from '../ports.ts'

/** Asks `authorizer`, and calls `measured` with the milliseconds that each question took. */
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

/** Refuses all private channels: the server has no database. */
export const noAuthorizer: Authorizer = {
  read: () => Promise.resolve({ ok: false, reason: `Unauthorized: ${NO_DATABASE}` }),
  write: () => Promise.resolve({ ok: true, broadcast: false, presence: false, detail: NO_DATABASE }),
}
