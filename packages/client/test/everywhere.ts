/**
 * The same small program for every platform, as text, because some of them are no Node: joins, sends to itself and is
 * acknowledged, text and bytes, tracks itself, leaves. Defines `everywhere({ RealtimeClient }, { url, apikey, options? })`.
 */
export const EVERYWHERE = `
async function everywhere({ RealtimeClient }, { url, apikey, options = {} }) {
  const client = new RealtimeClient(url, { apikey, ...options })
  const room = client.channel('room-' + Math.random(), { config: { broadcast: { self: true, ack: true }, presence: { key: 'me' } } })
  const heard = new Promise((resolve) => room.onBroadcast('text', resolve))
  const bytes = new Promise((resolve) => room.onBroadcast('bytes', resolve))
  const here = new Promise((resolve) => room.onPresenceJoin((key, _, [presence]) => resolve([key, presence.name])))
  room.subscribe()
  await room.ready()
  const sent = [await room.sendBroadcast('text', { greeting: 'hej' }), await room.sendBroadcast('bytes', new Uint8Array([1, 2, 3]))]
  await room.track({ name: 'Ada' })
  const result = { sent, text: (await heard).payload, bytes: [...new Uint8Array((await bytes).payload)], here: await here }
  result.posted = await room.httpSend('text', { greeting: 'by HTTP' })
  result.worker = client.workerRef !== undefined
  result.gone = await client.disconnect()
  // What would keep a process alive; other platforms do not say.
  result.left = globalThis.process?.getActiveResourcesInfo?.().filter((kind) => /Timeout|Immediate|TCP|TLS/.test(kind)) ?? []
  return result
}
`

/** What it returns where all is well. */
export const ALL_IS_WELL = {
  sent: ['ok', 'ok'],
  text: { greeting: 'hej' },
  bytes: [1, 2, 3],
  here: ['me', 'Ada'],
  posted: { success: true },
  worker: false,
  gone: 'ok',
  left: [],
}
