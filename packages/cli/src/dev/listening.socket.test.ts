import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { allObservers, noLimits, tokenVerifier, type RunningServer, type StartOptions } from '@tidewire/server'
import { afterEach, expect, test } from 'vitest'
import { detour, listenSomewhere } from './listening.ts'

const options: StartOptions = { verifier: tokenVerifier({ secret: 'for this test only' }), observer: allObservers([]), limits: noLimits }

const running: RunningServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

async function holdPort(): Promise<{ port: number; release: () => void }> {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  return { port: (holder.address() as AddressInfo).port, release: () => holder.close() }
}

test('a taken port is stepped over, and that is said', async () => {
  const { port, release } = await holdPort()
  const server = await listenSomewhere(options, undefined, port)
  running.push(server)
  release()
  expect(server.port).toBeGreaterThan(port)
  expect(detour(undefined, server.port, port)).toBe(`Port ${port} is taken, so this is ${server.port}.`)
})

test('a port that was asked for is not', async () => {
  const { port, release } = await holdPort()
  await expect(listenSomewhere(options, port)).rejects.toMatchObject({ code: 'port-in-use' })
  release()
})

test('nothing is said of a port that is as expected, or as asked for', () => {
  expect(detour(undefined, 4000)).toBeNull()
  expect(detour(5000, 5000)).toBeNull()
  expect(detour(0, 41_234)).toBeNull()
})

test('what is no matter of ports is not tried again', async () => {
  await expect(listenSomewhere({ ...options, host: '203.0.113.7' }, undefined)).rejects.toMatchObject({ code: 'bad-option' })
})
