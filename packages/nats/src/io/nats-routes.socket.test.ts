import { spawnSync } from 'node:child_process'
import { eventually, freePort, natsServerPath, TcpProxy, type NatsServer } from '@tidewire/testkit'
import { describe, it } from 'vitest'
import { useNats, type Begun } from '../../test/relays.ts'

const path = natsServerPath()
/** From 2.10 on, servers keep several connections to each other. */
const hasPools = path !== undefined && !/v2\.[0-9]\./.test(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout)
const room = { name: 'room', private: false }

describe.skipIf(path === undefined)('relays on two servers of a NATS cluster', () => {
  const { natsServer, begin, later } = useNats()

  /**
   * Two servers that know each other from a third one, and so try again at once when they lose each other: it takes them less
   * than a heartbeat. A server that was told of the other waits for a second.
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

  /** Until they know each other, and two heartbeats long nothing was reported that happened before. */
  async function settle(nodes: readonly Begun[]): Promise<void> {
    let [gaps, since] = [-1, 0]
    await eventually(() => {
      const now = nodes.reduce((sum, { seen }) => sum + seen.gaps.length, 0)
      if (now !== gaps) [gaps, since] = [now, performance.now()]
      return performance.now() - since > 2_500 && nodes.every(({ relay }) => relay.peers.length === 1)
    }, 20_000)
  }

  async function proveGaps(settings: string): Promise<void> {
    const { servers, ways } = await twoServers(settings)
    const nodes = servers.map(({ url }, at) => begin(url, { name: `node ${at}` }))
    for (const { relay } of nodes) relay.interest(room)
    // Once could be at a heartbeat, which would be missed.
    for (let time = 0; time < 3; time++) {
      await settle(nodes)
      for (const { seen } of nodes) seen.gaps.length = 0
      for (const way of ways) way.drop()
      await eventually(() => nodes.every(({ seen }) => seen.gaps.includes('all')), 5_000)
    }
  }

  it('report a gap when these lose each other for a moment', { timeout: 60_000 }, () => proveGaps(''))

  it.skipIf(!hasPools)('report a gap, too, where these keep one connection to each other', { timeout: 60_000 }, () =>
    proveGaps('pool_size: -1'),
  )
})
