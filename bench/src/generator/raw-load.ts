import { randomBytes } from 'node:crypto'
import type { LoadSocket, SocketOwner } from '../../../packages/cli/src/load/load-generator.ts'
import type { Job } from '../messages.ts'
import { MESSAGE_BYTES } from '../scenario.ts'
import { FrameTemplate } from './client-frame.ts'
import { dialectOf, messageBody } from './dialect.ts'
import { RawSocket } from './raw-socket.ts'
import { bytesBehindSequence, NO_DELIVERY, rehearse } from './rehearsal.ts'

/** Rehearses a load, and returns what opens its sockets. `wasRead` is called for every piece that is read from one. */
export async function rehearsed(
  job: Omit<Job, 'warmUpMs' | 'measureMs'>,
  wasRead: () => void,
): Promise<(owner: SocketOwner) => Promise<LoadSocket>> {
  const { scenario, address, sources } = job
  const dialect = dialectOf(job.dialect, job.apiKey, address.path)
  // A server that runs already may have topics of its own, and those of a run that was broken off.
  const topicName = topicNames(randomBytes(3).toString('hex'))
  const delivery = scenario.publishers === 0 ? NO_DELIVERY : await rehearse(job, dialect, topicName(scenario.topics))
  const templateOf = (topic: number): FrameTemplate => {
    const text = dialect.publish(topicName(topic), messageBody(0, MESSAGE_BYTES))
    return new FrameTemplate(text, bytesBehindSequence(text))
  }
  let opened = 0
  return async ({ isPublisher, delivered, lost }) => {
    const socket = await RawSocket.open({
      address,
      dialect,
      localAddress: sources[opened++ % sources.length] ?? null,
      wasRead,
      ...delivery,
      delivered: isPublisher ? () => lost(new Error('a publisher got its own message')) : delivered,
      lost: (why) => lost(new Error(`a connection was lost: ${why}`)),
    })
    const templates = new Map<number, FrameTemplate>()
    return {
      join: async (topic) => {
        await socket.ask(dialect.join(topicName(topic)), dialect.isJoined)
        if (isPublisher) templates.set(topic, templateOf(topic))
      },
      send: (topic, sequence) => {
        const frame = templates.get(topic)!.with(sequence)
        // At a rate, a turn would be part of the latency.
        if (scenario.load.kind === 'closed') socket.gather(frame)
        else socket.write(frame)
      },
      close: () => socket.close(),
    }
  }
}

/** As long for every topic, so that every delivery is as long. */
function topicNames(prefix: string): (topic: number) => string {
  return (topic) => `bench-${prefix}-${String(topic).padStart(4, '0')}`
}
