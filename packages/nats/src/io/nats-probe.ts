import type { NatsAddress } from '../address.ts'
import { natsBroker } from './nats-broker.ts'

/** The limits of a NATS server, or a sentence that says why this node cannot use it. */
export type NatsProbe =
  | { readonly ok: true; readonly serverVersion: string; readonly maxPayloadBytes: number; readonly roundTripMs: number }
  | { readonly ok: false; readonly reason: string }

/** Connects as a node would, publishes and subscribes below the prefix, and disconnects. Never rejects. */
export async function probeNats(address: NatsAddress, prefix: string): Promise<NatsProbe> {
  let refusal: string | null = null
  try {
    const session = await natsBroker(address, 'tidewire doctor').connect({
      closed: (detail) => (refusal ??= detail),
      refused: (detail) => (refusal ??= detail),
    })
    try {
      session.subscribe(`${prefix}.doctor.n.probe`, () => {})
      session.publish(`${prefix}.doctor.n.probe`, new Uint8Array(1))
      await session.confirm()
      const startedAt = performance.now()
      await session.confirm()
      const roundTripMs = performance.now() - startedAt
      const { serverVersion, maxPayloadBytes } = session
      return refusal === null ? { ok: true, serverVersion, maxPayloadBytes, roundTripMs } : { ok: false, reason: refusal }
    } finally {
      await session.close()
    }
  } catch (error) {
    return { ok: false, reason: refusal ?? (error instanceof Error ? error.message : String(error)) }
  }
}
