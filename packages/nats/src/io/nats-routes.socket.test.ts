import { spawnSync } from 'node:child_process'
import { eventually, freePort, natsServerPath, TcpProxy, textMessage, type NatsServer } from '@tidewire/testkit'
import { describe, expect, it } from 'vitest'
import { useNats, type Begun } from '../../test/relays.ts'

const path = natsServerPath()
/** From 2.10 on, servers keep several connections to each other. */
const hasPools = path !== undefined && !/v2\.[0-9]\./.test(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout)
const room = { name: 'room', private: false }

describe.skipIf(path === undefined)('relays on two servers of a NATS cluster', () => {
  const { natsServer, begin, later } = useNats()

  /**
   * Two servers that know each other from a third one, and so try again at once when they lose each other: it takes them less
   * than a heartbeat. A server that has the other in its configuration waits for a second.
   */
  async function twoServers(settings: string): Promise<{ readonly servers: readonly NatsServer[]; readonly ways: readonly TcpProxy[] }> {
    const meetingPort = await freePort()
    await natsServer(`cluster { name: c, listen: "127.0.0.1:${meetingPort}", ${settings} }`)
    const servers: NatsServer[] = []
    const ways: TcpProxy[] = []
    for (let count = 0; count < 2; count++) {
      const port = await freePort()
      const way = await TcpProxy.start({ port })
      later(() => way.close())
      ways.push(way)
      const routes = `advertise: "127.0.0.1:${way.port}", routes: ["nats://127.0.0.1:${meetingPort}"]`
      servers.push(await natsServer(`cluster { name: c, listen: "127.0.0.1:${port}", ${routes}, ${settings} }`))
    }
    return { servers, ways }
  }

  /** Publishes until the end of the test, and says when it published which number. */
  function publishing({ relay }: Begun): { readonly times: readonly number[] } {
    const times: number[] = []
    const timer = setInterval(() => {
      for (let count = 0; count < 5; count++) {
        relay.publish(room, [textMessage(String(times.length))])
        times.push(performance.now())
      }
    }, 1)
    later(() => clearInterval(timer))
    return { times }
  }

  /** How many numbers of the other were left out, and whether a gap was reported, since the last call. */
  function look({ seen }: Begun): { readonly lost: number; readonly gap: boolean } {
    const numbers = seen.texts.map(Number)
    for (let at = 1; at < numbers.length; at++) expect(numbers[at]).toBeGreaterThan(numbers[at - 1]!)
    const lost = numbers.length === 0 ? 0 : numbers.at(-1)! - numbers[0]! + 1 - numbers.length
    const gap = seen.gaps.length > 0
    // The last one is where the next look begins.
    seen.messages.splice(0, seen.messages.length - 1)
    seen.gaps.length = 0
    return { lost, gap }
  }

  /** Ends connections between the servers, the oldest first: where they keep several, one carries the messages. */
  async function proveGaps(settings: string): Promise<void> {
    const { servers, ways } = await twoServers(settings)
    const nodes = servers.map(({ url }, at) => begin(url, { name: `node ${at}` }))
    for (const { relay } of nodes) relay.interest(room)
    await eventually(() => nodes.every(({ relay }) => relay.peers.length === 1), 20_000)
    const sources = nodes.map(publishing)
    /** Until what was published so long after now arrives. */
    const passed = (ms: number): Promise<void> => {
      const since = performance.now() + ms
      return eventually(
        () =>
          nodes.every(({ seen }, at) => {
            const last = seen.messages.at(-1)?.message
            const { times } = sources[1 - at]!
            return last?.kind === 'text' && times[Number(Buffer.from(last.payload).toString())]! > since
          }),
        20_000,
      )
    }
    await passed(2_500)
    nodes.forEach(look)
    let losses = 0
    for (let time = 0; losses < 4; time++) {
      ways[time % 2]!.dropOldest()
      // A beat that is lost, too, gives a gap with the next one.
      await passed(1_500)
      for (const { lost, gap } of nodes.map(look)) {
        expect({ lost, gap }).toEqual({ lost, gap: lost > 0 })
        if (lost > 0) losses++
      }
    }
  }

  it('report a gap when messages are lost between these', { timeout: 90_000 }, () => proveGaps(''))

  it.skipIf(!hasPools)('report a gap, too, where these keep one connection to each other', { timeout: 90_000 }, () =>
    proveGaps('pool_size: -1'),
  )
})
