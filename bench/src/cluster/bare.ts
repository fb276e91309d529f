import type { ConnectionOptions } from '@nats-io/transport-node'

/** What the processes with a bare client of NATS publish to and subscribe to. */
export const BARE_SUBJECT = 'bare'

/** The options of ours, where they cost or save CPU. */
export function bareOptions(servers: string): ConnectionOptions {
  return { servers, noEcho: true, noAsyncTraces: true }
}
