import type { NatsProbe } from '@tidewire/nats'
import { readCluster, type NatsValues } from '../start/nats-environment.ts'
import { byteText } from '../values.ts'
import type { CheckResult } from './checks.ts'

/** Below this `max_payload`, large broadcasts need very many parts. */
const SMALL_PAYLOAD_BYTES = 65_536
/** From this round trip on, NATS adds noticeable latency to every broadcast between nodes. */
const SLOW_MS = 5

/** Checks the NATS of the environment as a node would use it. No result where there is none. */
export async function checkNats(environment: NodeJS.ProcessEnv): Promise<CheckResult[]> {
  const read = readCluster(valuesOf(environment), 0)
  if (!read.ok) return read.faults.map((detail) => ({ check: 'nats', level: 'fail', detail }))
  if (read.cluster === null) return []
  const { probeNats } = await import('@tidewire/nats')
  return [judgeNats(await probeNats(read.cluster.address, read.cluster.prefix))]
}

export function judgeNats(probe: NatsProbe): CheckResult {
  if (!probe.ok) return { check: 'nats', level: 'fail', detail: probe.reason }
  const { serverVersion, maxPayloadBytes, roundTripMs } = probe
  const facts = `nats-server ${serverVersion}, messages of ${byteText(maxPayloadBytes)}, ${roundTripMs.toFixed(1)} ms there and back`
  if (maxPayloadBytes < SMALL_PAYLOAD_BYTES)
    return { check: 'nats', level: 'warn', detail: `${facts}: max_payload is small, so that large broadcasts go in many parts` }
  if (roundTripMs > SLOW_MS)
    return { check: 'nats', level: 'warn', detail: `${facts}: it is far away; every broadcast to another node waits for it` }
  return { check: 'nats', level: 'ok', detail: facts }
}

/** An empty variable counts as not set. */
function valuesOf(environment: NodeJS.ProcessEnv): NatsValues {
  const given = Object.entries(environment).filter(([name, value]) => name.startsWith('TIDEWIRE_N') && value !== undefined && value !== '')
  const { TIDEWIRE_NATS_ALLOW_INSECURE: insecure, ...texts } = Object.fromEntries(given) as Record<string, string>
  return { ...texts, TIDEWIRE_NATS_ALLOW_INSECURE: insecure === 'true' || insecure === '1' }
}
