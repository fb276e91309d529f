import type { Duplex } from 'node:stream'
import type { Transport } from '../../connection/transport.ts'

interface StreamHandle {
  readonly bytesWritten: number
  readonly writeQueueSize: number
}

/**
 * How much of what was written the system has taken. A stream of Node says of a write only that it is done, and a write may be a
 * frame of megabytes, or all that waits: to a slow receiver it takes longer than a stall may. What is left of it is known
 * below the stream (Node's own socket time-outs look there). Without that, writes count when they are done.
 */
export function takenBytesOf(socket: Duplex): Pick<Transport, 'takenBytes'> {
  const handle: unknown = (socket as { readonly _handle?: unknown })._handle
  if (!isStreamHandle(handle)) return {}
  let taken = 0
  return {
    takenBytes: () => {
      // A socket that is gone has no handle, and takes nothing more.
      if (!socket.destroyed) taken = handle.bytesWritten - handle.writeQueueSize
      return taken
    },
  }
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  if (typeof handle !== 'object' || handle === null) return false
  const { bytesWritten, writeQueueSize } = handle as Partial<StreamHandle>
  return typeof bytesWritten === 'number' && typeof writeQueueSize === 'number'
}
