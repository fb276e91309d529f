import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/** A free port of 127.0.0.1, for a program that does not take 0. Another program may take it meanwhile. */
export async function freePort(): Promise<number> {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  holder.close()
  await once(holder, 'close')
  return port
}
