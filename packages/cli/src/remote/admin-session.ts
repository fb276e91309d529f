import { ADMIN_ROLE, ADMIN_TOPIC, isJsonObject, type AdminRequests } from '@tidewire/protocol'
import { failed, misused } from '../failure.ts'
import { signJwt } from '../jwt.ts'
import { visible } from '../output.ts'
import { showProgress } from '../progress-bar.ts'
import { readKeys } from '../project/keys.ts'
import { findServer } from '../project/running-server.ts'
import { parseTimeout } from '../values.ts'
import { dialingSocket, type DialFault } from './dialing-socket.ts'
import { unreachable } from './joined-topic.ts'
import { endpointOf, type Target } from './target.ts'

/** The options that name the server and key of an administrator's command. */
export const adminArgs = {
  url: { type: 'string', description: "The server. Default: TIDEWIRE_URL, else this project's `tidewire dev`" },
  key: {
    type: 'string',
    description:
      'An admin key (`tidewire token --admin`). Default: one made with TIDEWIRE_ADMIN_SECRET, else with the secret of this project',
  },
  timeout: { type: 'string', description: 'How long the server may take to answer', default: '10s', valueHint: 'duration' },
} as const

export interface AdminValues {
  readonly url?: string | undefined
  readonly key?: string | undefined
  readonly timeout: string
}

const KEY_LIFE_S = 60

/** Asks one question over the admin channel of a server. Throws a Failure. */
export async function askAdmin<Event extends keyof AdminRequests>(
  values: AdminValues,
  event: Event,
  request: AdminRequests[Event][0],
): Promise<AdminRequests[Event][1]> {
  const target = await findAdmin(values, process.cwd(), process.env)
  return showProgress('Asking the server', () => ask(target, event, request)) as Promise<AdminRequests[Event][1]>
}

async function findAdmin(values: AdminValues, folder: string, environment: NodeJS.ProcessEnv): Promise<Target> {
  const own = findServer(folder)
  const given = (value: string | undefined): string | undefined => (value === '' ? undefined : value)
  const url = values.url ?? given(environment['TIDEWIRE_URL']) ?? own?.server.url
  if (url === undefined) throw failed('No server runs in this project: start one with `tidewire dev`, or say where it is with --url.')
  const endpoint = endpointOf(url)
  const timeoutMs = parseTimeout('--timeout', values.timeout)
  if (values.key !== undefined) return { url, endpoint, key: values.key, timeoutMs }
  const secret = given(environment['TIDEWIRE_ADMIN_SECRET']) ?? (own === null ? undefined : (await readKeys(own.folder))?.adminSecret)
  if (secret === undefined) throw misused('--key is missing: give an admin key, or set TIDEWIRE_ADMIN_SECRET.')
  const now = Math.floor(Date.now() / 1000)
  return { url, endpoint, key: await signJwt({ role: ADMIN_ROLE, iat: now, exp: now + KEY_LIFE_S }, secret), timeoutMs }
}

function ask({ url, endpoint, key, timeoutMs }: Target, event: string, request: object): Promise<unknown> {
  let fault: DialFault | null = null
  const Socket = dialingSocket((found) => (fault = found))
  const socket = new Socket(`${endpoint}/websocket?vsn=2.0.0&apikey=${encodeURIComponent(key)}`)
  return new Promise<unknown>((resolve, reject) => {
    const late = setTimeout(() => reject(failed(`${url} gave no answer within ${timeoutMs / 1000} s.`)), timeoutMs)
    const push = (ref: string, name: string, payload: object): void => socket.send(JSON.stringify(['1', ref, ADMIN_TOPIC, name, payload]))
    socket.onopen = () => push('1', 'phx_join', { access_token: key })
    socket.onmessage = ({ data }: { readonly data: unknown }) => {
      const reply = replyIn(data)
      if (reply === null) return
      const { ref, ok, response } = reply
      if (!ok) return reject(failed(`${url} refused: ${visible(reasonIn(response), 1_000)}.`))
      if (ref === '1') return push('2', event, request)
      clearTimeout(late)
      resolve(response)
    }
    socket.onclose = () =>
      reject(
        fault === null ? failed(`${url} closed the connection: is its inspector on (TIDEWIRE_INSPECTOR=true)?`) : unreachable(url, fault),
      )
  }).finally(() => socket.close())
}

function replyIn(data: unknown): { readonly ref: unknown; readonly ok: boolean; readonly response: unknown } | null {
  if (typeof data !== 'string') return null
  const frame: unknown = JSON.parse(data)
  if (!Array.isArray(frame) || frame[3] !== 'phx_reply') return null
  const payload: unknown = frame[4]
  return isJsonObject(payload) ? { ref: frame[1] as unknown, ok: payload['status'] === 'ok', response: payload['response'] } : null
}

function reasonIn(response: unknown): string {
  const reason = isJsonObject(response) ? response['reason'] : undefined
  return typeof reason === 'string' ? reason : 'no reason was given'
}
