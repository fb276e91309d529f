// Nothing in here knows about Tidewire: it is what anybody writes for supabase-js.
const { SUPABASE_URL = 'http://127.0.0.1:4000', SUPABASE_ANON_KEY, USER_TOKEN } = process.env

exports.run = async function run(createClient) {
  const supabase = createClient(SUPABASE_URL, SUPABASE_ANON_KEY, USER_TOKEN ? { accessToken: async () => USER_TOKEN } : {})

  const room = supabase.channel('room', { config: { broadcast: { self: true, ack: true }, presence: { key: 'ada' } } })
  const heard = once((resolve) => room.on('broadcast', { event: 'say' }, resolve))
  const posted = once((resolve) => room.on('broadcast', { event: 'posted' }, resolve))
  const here = once((resolve) => room.on('presence', { event: 'join' }, resolve))
  await subscribed(room)

  await room.send({ type: 'broadcast', event: 'say', payload: { text: 'Hello' } })
  console.log(`broadcast: ${(await heard).payload.text}`)

  await room.track({ name: 'Ada' })
  const { key, newPresences } = await here
  console.log(`presence: ${newPresences[0].name} is here as ${key}`)

  await room.httpSend('posted', { text: 'Hello over HTTP' })
  console.log(`httpSend: ${(await posted).payload.text}`)

  const secret = supabase.channel('members', { config: { private: true, broadcast: { self: true } } })
  const whispered = once((resolve) => secret.on('broadcast', { event: 'say' }, resolve))
  await subscribed(secret)
  await secret.send({ type: 'broadcast', event: 'say', payload: { text: 'Psst' } })
  console.log(`private: ${(await whispered).payload.text}`)

  const changes = supabase.channel('changes')
  const live = once((resolve) => changes.on('system', {}, (message) => message.status === 'ok' && resolve()))
  const changed = once((resolve) => changes.on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'messages' }, resolve))
  await subscribed(changes)
  await live
  console.log('changes: waiting for an insert into "messages"')
  const { eventType, new: row } = await changed
  console.log(`changes: ${eventType} ${JSON.stringify(row)}`)

  console.log(`removed: ${await supabase.removeAllChannels()}`)
}

function subscribed(channel) {
  return new Promise((resolve, reject) => {
    channel.subscribe((status, error) => {
      if (status === 'SUBSCRIBED') resolve()
      else if (status !== 'CLOSED') reject(error instanceof Error ? error : new Error(status))
    })
  })
}

/** Resolves with the first value that a listener gets. */
function once(listen) {
  return new Promise((resolve) => listen(resolve))
}
