import type { Address } from '../messages.ts'
import { MESSAGE_BYTES } from '../scenario.ts'
import { textFrame } from './client-frame.ts'
import { messageBody, SEQUENCE_DIGITS, type Dialect } from './dialect.ts'
import { RawSocket } from './raw-socket.ts'

/** How a delivery is known without reading it. */
export interface DeliveryShape {
  readonly deliveryBytes: number
  /** What stands behind its sequence number. */
  readonly tailBytes: number
}

/** For sockets that expect none. */
export const NO_DELIVERY: DeliveryShape = { deliveryBytes: -1, tailBytes: 0 }

/**
 * Sends one message to one subscriber and reads what arrives: servers write the members of a message in an order of their own.
 * `topic` is as long as those of the load. Rejects when nothing comes that has the message in it.
 */
export async function rehearse(
  { address, sources }: { readonly address: Address; readonly sources: readonly string[] },
  dialect: Dialect,
  topic: string,
): Promise<DeliveryShape> {
  const options = { address, dialect, localAddress: sources[0] ?? null, ...NO_DELIVERY, delivered: () => {}, wasRead: () => {} }
  const sockets: RawSocket[] = []
  let lost: (error: Error) => void = () => {}
  const end = new Promise<never>((_resolve, reject) => (lost = reject))
  const open = async (): Promise<RawSocket> => {
    const socket = await RawSocket.open({ ...options, lost: (why) => lost(new Error(`in the rehearsal: ${why}`)) })
    sockets.push(socket)
    await socket.ask(dialect.join(topic), dialect.isJoined)
    return socket
  }
  const first = async (): Promise<DeliveryShape> => {
    const [subscriber, publisher] = [await open(), await open()]
    const body = messageBody(0, MESSAGE_BYTES)
    const delivered = subscriber.until((text) => text.includes('0'.repeat(SEQUENCE_DIGITS)) && text.includes('x'.repeat(100)))
    publisher.write(textFrame(dialect.publish(topic, body)))
    const text = await delivered
    return { deliveryBytes: Buffer.byteLength(text), tailBytes: bytesBehindSequence(text) }
  }
  try {
    return await Promise.race([first(), end])
  } finally {
    for (const socket of sockets) socket.close()
  }
}

export function bytesBehindSequence(text: string): number {
  return text.length - text.lastIndexOf('0'.repeat(SEQUENCE_DIGITS)) - SEQUENCE_DIGITS
}
