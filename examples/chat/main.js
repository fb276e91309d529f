import { nameInAddress, signIn } from '../app/client.js'

const [status, people, door, refused, list, typing, composer] = [
  'status',
  'people',
  'door',
  'refused',
  'messages',
  'typing',
  'composer',
].map((id) => document.getElementById(id))
const room = new URLSearchParams(location.search).get('room') ?? 'lobby'
const typingForMs = 2_000
const hourMs = 3_600_000

document.querySelector('h1').textContent = `# ${room}`
door.addEventListener('submit', (event) => {
  event.preventDefault()
  void enter(new FormData(door).get('name'))
})
if (nameInAddress() !== '') void enter(nameInAddress())

async function enter(name) {
  const { client, ask } = await signIn(name)
  door.hidden = true
  location.hash = name

  // Rows of the table that its policy lets this user see. Subscribed first and fetched then, so that no row is missed in between.
  const rows = client
    .channel(`messages of ${room}`)
    .onPostgresChanges(
      'INSERT',
      { schema: 'public', table: 'chat_messages', filter: (where) => where.eq('room', room) },
      ({ new: message }) => show(message),
    )
    .onGap(() => void fetchHistory())

  // The private channel of the room: who is here, who types, and hearts, which the database sends. The last ones are replayed.
  const channel = client.channel(`room:${room}`, {
    config: { private: true, presence: { key: name }, broadcast: { replay: { since: Date.now() - hourMs, limit: 25 } } },
  })
  channel.onPresenceSync(() => showPeople(channel.presenceState()))
  channel.onBroadcast('typing', ({ payload }) => payload.name !== name && showTyping(payload.name))
  channel.onBroadcast('heart', ({ payload }) => showHeart(payload.record))
  channel.subscribe((state, error) => {
    status.dataset.state = state === 'SUBSCRIBED' ? 'live' : 'waiting'
    status.textContent = state === 'SUBSCRIBED' ? `live as ${name}` : 'connecting'
    if (error?.code === 'unauthorized') refuse(client, name)
  })

  try {
    await channel.ready()
  } catch {
    // The callback of `subscribe` shows why.
    return
  }
  await rows.ready()
  await fetchHistory()
  await channel.track({ since: Date.now() })

  for (const field of composer.elements) field.disabled = false
  composer.elements.body.focus()
  let toldAt = 0
  composer.addEventListener('input', () => {
    if (Date.now() - toldAt < typingForMs / 2) return
    toldAt = Date.now()
    void channel.sendBroadcast('typing', { name })
  })
  composer.addEventListener('submit', (event) => {
    event.preventDefault()
    void ask('say', room, composer.elements.body.value)
    composer.reset()
  })
  list.addEventListener('click', ({ target }) => target.matches('button') && void ask('love', target.closest('li').value))

  async function fetchHistory() {
    for (const message of await ask('history', room)) show(message)
  }

  // A message may come twice, live and fetched: it has one place, by its id.
  function show({ id, author, body, sent_at: sentAt }) {
    const item = itemOf(Number(id))
    if (item.dataset.author !== undefined) return
    item.dataset.author = author
    item.classList.toggle('own', author === name)
    item.querySelector('b').textContent = author
    item.querySelector('time').textContent = new Date(sentAt).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    item.querySelector('p').textContent = body
    item.hidden = false
    list.lastElementChild.scrollIntoView({ block: 'nearest' })
  }
}

// A replayed heart may be here before its message: then that waits, hidden, for its words.
function itemOf(id) {
  const items = [...list.children]
  const known = items.find(({ value }) => value === id)
  if (known !== undefined) return known
  const item = document.createElement('li')
  item.value = id
  item.hidden = true
  item.innerHTML = '<b></b> <time></time><p></p><button aria-label="Give a heart">♥ <span>0</span></button>'
  list.insertBefore(item, items.find(({ value }) => value > id) ?? null)
  return item
}

const lovers = new Map()

function showHeart({ message, author }) {
  const those = lovers.get(message) ?? new Set()
  lovers.set(message, those.add(author))
  const button = itemOf(Number(message)).querySelector('button')
  button.classList.add('loved')
  button.querySelector('span').textContent = those.size
}

function showPeople(present) {
  people.replaceChildren(...Object.keys(present).map((name) => Object.assign(document.createElement('li'), { textContent: name })))
}

let typingTimer

function showTyping(name) {
  typing.textContent = `${name} is typing …`
  clearTimeout(typingTimer)
  typingTimer = setTimeout(() => (typing.textContent = ''), typingForMs)
}

function refuse(client, name) {
  status.dataset.state = 'out'
  status.textContent = 'refused'
  refused.textContent = `${name} is no member of ${room}: the policy “hear a room” says no.`
  refused.hidden = false
  void client.disconnect()
}
