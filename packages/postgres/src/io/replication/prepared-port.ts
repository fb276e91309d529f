import { faultOf, type ErrorLike } from '../../replication/replication-fault.ts'
import type { ReplicationPort } from '../../replication/replication-port.ts'

/** Connects only once `prepare` has resolved; until then every attempt begins with it. */
export function preparedPort(port: ReplicationPort, prepare: () => Promise<void>): ReplicationPort {
  let isPrepared = false
  return {
    attach: async (request, signal) => {
      if (!isPrepared) {
        const aborted = new Promise<void>((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('given up'))))
        try {
          await Promise.race([prepare(), aborted])
        } catch (error) {
          return { ok: false, fault: faultOf(error as ErrorLike) }
        }
        isPrepared = true
      }
      return port.attach(request, signal)
    },
  }
}
