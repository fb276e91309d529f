/** A process with a client of NATS that publishes at the given pace, and does nothing else. BENCH_NATS names the broker. */
import { connect } from '@nats-io/transport-node'
import { BARE_SUBJECT, bareOptions } from '../cluster/bare.ts'
import { keepPace, type Pace } from '../cluster/pace.ts'
import type { PublisherMessage } from '../messages.ts'

const report = (message: PublisherMessage): void => void process.send?.(message)

process.once('disconnect', () => process.exit())
const nats = await connect(bareOptions(process.env['BENCH_NATS'] ?? ''))
// As large as the frame that a member sends.
const payload = Buffer.alloc(240, 'x')

process.on('message', (pace: Pace) => {
  const publish = (count: number): void => {
    for (let left = count; left > 0; left--) nats.publish(BARE_SUBJECT, payload)
  }
  void keepPace(pace, publish).then((messages) => report({ kind: 'published', messages }))
})
report({ kind: 'begin' })
