import { payloadBytes, type ClientFrame, type JoinRequest } from '@tidewire/protocol'
import type { Channel } from '../channel/channel.ts'
import type { Runtime } from '../ports.ts'

/** A join with more entries of row changes, or more bytes, is read in a turn of the event loop of its own. */
const LARGE_ENTRIES = 100
const LARGE_BYTES = 16_384

export function isLargeJoin({ postgresChanges }: JoinRequest, payload: ClientFrame['payload']): boolean {
  return postgresChanges.length > LARGE_ENTRIES || payloadBytes(payload) > LARGE_BYTES
}

/** Reads what the join asks for in one turn, and joins in the next, unless the channel has closed meanwhile. */
export function joinInSteps(channel: Channel, runtime: Pick<Runtime, 'endOfTurn'>): void {
  const inTurn = (step: () => void): void =>
    runtime.endOfTurn(() => {
      if (!channel.closed) step()
    })
  inTurn(() => {
    channel.readChanges()
    inTurn(() => channel.join())
  })
}
