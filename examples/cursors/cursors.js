import { RealtimeClient } from './_/client.js'

const [status, people, nameInput, stage, alone] = ['status', 'people', 'name', 'stage', 'alone'].map((id) => document.getElementById(id))
const sendEveryMs = 40
const staleAfterMs = 5_000

const me = { id: randomId(), name: randomName(), hue: Math.floor(Math.random() * 360) }
const room = new URLSearchParams(location.search).get('room') ?? 'lobby'
const cursors = new Map()

const { url, anonKey } = await fetch('./_/config.json').then((response) => response.json())
const client = new RealtimeClient(`${url.replace(/^http/, 'ws')}/realtime/v1`, { apikey: anonKey })
const channel = client.channel(`cursors:${room}`, { config: { presence: { key: me.id } } })

channel
  .on('presence', { event: 'sync' }, showPeople)
  .on('presence', { event: 'join' }, ({ key }) => key !== me.id && sendPosition())
  .on('presence', { event: 'leave' }, ({ key, currentPresences }) => currentPresences.length === 0 && removeCursor(key))
  .on('broadcast', { event: 'move' }, ({ payload }) => showCursor(payload))
  .on('broadcast', { event: 'away' }, ({ payload }) => removeCursor(payload?.id))
  .subscribe((state) => {
    const live = state === 'SUBSCRIBED'
    status.textContent = live ? 'live' : 'reconnecting'
    status.dataset.state = live ? 'live' : 'waiting'
    if (live) introduce()
  })

// Who is here: presence. Each page tracks a name and a colour once; the server keeps the list, and removes pages that leave.

function introduce() {
  document.documentElement.style.setProperty('--own-hue', me.hue)
  return channel.track({ name: me.name, hue: me.hue })
}

function showPeople() {
  const present = Object.entries(channel.presenceState())
  people.replaceChildren(...present.map(([id, [person]]) => portrait(id, person)))
  alone.hidden = present.some(([id]) => id !== me.id)
  for (const [id, [person]] of present) label(id, person)
}

function portrait(id, person) {
  const item = document.createElement('li')
  const name = nameOf(person)
  item.dataset.person = id
  item.title = id === me.id ? `${name} (you)` : name
  item.textContent = name
  item.style.setProperty('--hue', hueOf(person))
  return item
}

nameInput.value = me.name
nameInput.addEventListener('change', () => {
  me.name = nameInput.value.trim() || randomName()
  nameInput.value = me.name
  introduce()
})

// Where they point: broadcasts, a few a second, in parts of the stage so that windows of every size agree.

let position = null
let sending = false

stage.addEventListener('pointermove', ({ clientX, clientY }) => {
  const { left, top, width, height } = stage.getBoundingClientRect()
  position = { x: round((clientX - left) / width), y: round((clientY - top) / height) }
  if (sending) return
  sending = true
  setTimeout(() => {
    sending = false
    sendPosition()
  }, sendEveryMs)
})

document.documentElement.addEventListener('pointerleave', () => {
  position = null
  broadcast('away', { id: me.id })
})

function sendPosition() {
  if (position !== null) broadcast('move', { id: me.id, ...position })
}

function broadcast(event, payload) {
  // Nothing can be sent before the channel is joined.
  if (status.dataset.state === 'live') channel.send({ type: 'broadcast', event, payload })
}

// Anybody may send anything to a public channel: what is no position is not shown.
function showCursor(payload) {
  const { id, x, y } = payload ?? {}
  const present = Object.hasOwn(channel.presenceState(), id) ? channel.presenceState()[id] : undefined
  if (present === undefined || !(x >= 0 && x <= 1 && y >= 0 && y <= 1)) return
  const cursor = cursors.get(id) ?? addCursor(id, present[0])
  cursor.style.translate = `${x * 100}cqw ${y * 100}cqh`
  cursor.classList.remove('idle')
  clearTimeout(cursor.idleTimer)
  cursor.idleTimer = setTimeout(() => cursor.classList.add('idle'), staleAfterMs)
}

function addCursor(id, person) {
  const cursor = document.createElement('div')
  cursor.className = 'cursor'
  cursor.dataset.cursor = id
  cursor.innerHTML = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2 1l5 13 2-5 5-2z" /></svg><span></span>'
  cursors.set(id, cursor)
  stage.append(cursor)
  label(id, person)
  return cursor
}

function label(id, person) {
  const cursor = cursors.get(id)
  cursor?.style.setProperty('--hue', hueOf(person))
  cursor?.querySelector('span').replaceChildren(nameOf(person))
}

function removeCursor(id) {
  cursors.get(id)?.remove()
  cursors.delete(id)
}

function nameOf(person) {
  return String(person.name ?? 'guest').slice(0, 24)
}

function hueOf(person) {
  return Number.isFinite(person.hue) ? person.hue : 0
}

function round(part) {
  return Math.round(Math.min(Math.max(part, 0), 1) * 10_000) / 10_000
}

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function randomName() {
  const pick = (words) => words[Math.floor(Math.random() * words.length)]
  const swimmers = ['otter', 'heron', 'seal', 'crab', 'puffin', 'starfish', 'plover', 'dolphin', 'urchin', 'tern']
  return `${pick(['calm', 'brisk', 'salty', 'bright', 'drifting', 'merry', 'quiet', 'swift'])} ${pick(swimmers)}`
}
