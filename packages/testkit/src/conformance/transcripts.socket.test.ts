import { defaultLimits, startServer, tokenVerifier, type RunningServer, type StartOptions } from '@tidewire/server'
import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { acceptedDeviations, PUB1_NOT_PUBLISHED } from './accepted-deviations.ts'
import { quietFeed, refusingFeed, setupPolicies, silentFeed } from './policies.ts'
import { playedOnDatabase } from './played-on-database.ts'
import { playTranscript, type PlayOptions } from '../player/player.ts'
import { formatReport } from '../player/report.ts'
import { loadTranscript } from '../recording/transcript.ts'

const SECRET = 'the-secret-of-the-server-that-the-recordings-are-played-against'

/** What a recording needs besides the server that all are played against. */
interface Setting {
  readonly server?: Partial<StartOptions>
  readonly play?: (server: RunningServer) => Partial<PlayOptions>
}

/** The recordings that need no database, with what each needs. */
const played: Readonly<Record<string, Setting>> = {
  close_behaviour: { server: { idleTimeoutMs: 1_000 }, play: () => ({ deadlineMs: 10_000 }) },
  http_api: {
    server: {
      metrics: { contentType: 'text/plain', text: () => Promise.resolve('') },
      metricsVerifier: tokenVerifier({ secret: 'of the metrics' }),
    },
  },
  http_upgrade_errors: {},
  v1_access_token_refresh: { server: { changeFeed: quietFeed } },
  v1_broadcast: {},
  v1_failed_join_blocks_socket: {},
  v1_heartbeat: {},
  // The reference was still connecting to its database when the recording ended.
  v1_join_public: { server: { changeFeed: silentFeed } },
  v1_jwt_at_join: {},
  v1_malformed_frames: {},
  v1_max_channels: {},
  v1_presence: {},
  v1_presence_client_rate_limit: {},
  v1_presence_edge: {},
  v1_presence_enabled_false_then_track: {},
  v1_presence_same_key_two_clients: {},
  v1_private_allowed_denied: {},
  v1_private_presence: {},
  v1_rejoin_leave_duplicate: {},
  v1_socket_token_expires: { play: () => ({ deadlineMs: 10_000 }) },
  v1_too_large_payload: {},
  v1_unknown_topic_event: {},
  v2_binary_frames: {},
  v2_broadcast: {},
  v2_failed_join_blocks_socket: {},
  v2_heartbeat: {},
  v2_join_public: {
    server: {
      changeFeed: refusingFeed(
        'Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect parameters: [event: *, schema: pub1, table: *, filters: [], select: nil]',
        PUB1_NOT_PUBLISHED,
      ),
    },
  },
  v2_rejoin_leave_duplicate: {},
  y2_server_sigterm: { play: (server) => ({ remark: (text) => (text === 'SIGTERM' ? server.stop() : undefined) }) },
  z3_max_concurrent_users: { server: { limits: { ...defaultLimits, maxConnectedUsers: 2 } } },
}

/** The others, with what they wait for. */
const notPlayed: Readonly<Record<string, string>> = {
  tenant_shutdown_disconnects: 'the tenant API (X13)',
  v1_tenant_suspended_private_only: 'the tenant API (X13)',
  z1_rate_limit_events: 'frames that were left out of the recording',
  z2_rate_limit_joins: 'frames that were left out of the recording',
}

/** The rules that let a recorded frame go missing: it is refused to its sender (X2), or has no form for its receiver (X3). */
const RULES_THAT_DROP = ['X2', 'X3']

const running: RunningServer[] = []

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()))
})

async function start(options: Partial<StartOptions>): Promise<RunningServer> {
  const server = await startServer({
    port: 0,
    verifier: tokenVerifier({ secret: SECRET }),
    observer: { decision() {}, connected() {}, disconnected() {}, joined() {}, left() {}, broadcast() {}, received() {} },
    authorizer: setupPolicies,
    drainTimeoutMs: 1_000,
    ...options,
  })
  running.push(server)
  return server
}

describe('our server says what the reference said', () => {
  test.each(Object.entries(played))('%s', async (name, { server: options = {}, play = () => ({}) }) => {
    const server = await start(options)
    const report = await playTranscript(loadTranscript(name), {
      url: server.url.replace('http:', 'ws:'),
      secret: SECRET,
      deviations: acceptedDeviations,
      ...play(server),
    })
    expect(formatReport(report)).toBe('')
    expect(report.compared).toBeGreaterThan(2)
  })
})

describe('the list of wanted differences', () => {
  const protocol = readFileSync(new URL('../../../protocol/PROTOCOL.md', import.meta.url), 'utf8')
  const rules = new Set([...protocol.slice(protocol.indexOf('Deliberate differences')).matchAll(/^- \*\*(X\d+)\*\*/gm)].map(([, id]) => id))

  test('names a rule and a played recording for each', () => {
    for (const { rule, recording, reason } of acceptedDeviations) {
      expect(rules).toContain(rule)
      expect([...Object.keys(played), ...Object.keys(playedOnDatabase)]).toContain(recording)
      expect(reason).not.toBe('')
    }
  })

  test('lets a frame go missing only by a rule that says so', () => {
    const dropping = acceptedDeviations.filter(({ change }) => change.kind === 'absent')
    expect(dropping.map(({ recording, line, rule }) => `${recording}:${line} ${rule}`)).toEqual([
      'v1_malformed_frames:15 X2',
      'v2_binary_frames:32 X2',
      'v2_binary_frames:33 X2',
      'v2_binary_frames:34 X2',
      'v2_binary_frames:69 X3',
    ])
    expect(new Set(dropping.map(({ rule }) => rule))).toEqual(new Set(RULES_THAT_DROP))
  })

  test('each is needed: without it the recording that it is about fails', async () => {
    const needed = acceptedDeviations.filter(({ rule }) => rule === 'X4')
    const server = await start({})
    const report = await playTranscript(loadTranscript('v1_private_allowed_denied'), {
      url: server.url.replace('http:', 'ws:'),
      secret: SECRET,
      deviations: acceptedDeviations.filter((deviation) => !needed.includes(deviation)),
    })
    expect(report.differences).toHaveLength(needed.length)
  })
})

test('every recording is played, or says what it waits for', () => {
  const files = readdirSync(new URL('../../transcripts/', import.meta.url)).flatMap((file) =>
    file.endsWith('.jsonl') ? [file.slice(0, -6)] : [],
  )
  const known = new Set([...Object.keys(played), ...Object.keys(playedOnDatabase), ...Object.keys(notPlayed)])
  expect([...known].toSorted()).toEqual(files.toSorted())
  for (const name of Object.keys(notPlayed)) expect({ ...played, ...playedOnDatabase }).not.toHaveProperty(name)
})
