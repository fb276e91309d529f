import { RealtimeClient } from '@tidewire/client'

/** Signs in by name, and gives what a page works with: a client with the user's token, and the queries of the demo. */
export async function signIn(name) {
  let session = await post('sign-in', { name })
  const refresh = async () => (session = await post('sign-in', { name })).token
  let asked = false
  // The first token is at hand; later ones are asked for when a join needs them, or this one ends.
  const accessToken = async () => {
    const token = asked ? await refresh() : session.token
    asked = true
    return token
  }
  const client = new RealtimeClient(session.url, { apikey: session.anonKey, accessToken })
  return { name, client, ask: (query, ...values) => post(query, { values }, session.token) }
}

/** Where the page's address may hold it: #ada, and a room as ?room=harbour. */
export const nameInAddress = () => location.hash.slice(1)

async function post(path, body, token) {
  const headers = { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
  const response = await fetch(`/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  return answer
}
