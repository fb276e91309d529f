/** Variables of a Supabase server that change nothing here. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'API_JWT_SECRET_NEXT',
  'API_TOKEN_BLOCKLIST',
  'METRICS_TOKEN_BLOCKLIST',
  'TENANT_MAX_BYTES_PER_SECOND',
  'MAX_HEADER_LENGTH',
  'NO_CHANNEL_TIMEOUT_IN_MS',
  'REALTIME_IP_VERSION',
  'CLUSTER_STRATEGIES',
  'METRICS_PUSHER_ENABLED',
  'RUN_JANITOR',
])

/** Variables that other commands read. */
const ELSEWHERE: ReadonlySet<string> = new Set(['TIDEWIRE_URL', 'TIDEWIRE_KEY'])

/** Every variable with one of these prefixes is meant for a realtime server. */
const OWN_PREFIX = /^(TIDEWIRE|TENANT|CLIENT_PRESENCE)_/

/** Other programs use these prefixes too, so only names close to one of ours are reported. */
const SHARED_PREFIX = /^(API|DB|METRICS|JWT|MAX|DATABASE|LOG)_/

/** A sentence for each variable that is set and changes nothing, with the name that was probably meant. */
export function unknownVariables(given: readonly string[], known: readonly string[]): readonly string[] {
  return given.flatMap((name) => {
    if (known.includes(name) || ELSEWHERE.has(name)) return []
    if (WITHOUT_EFFECT.has(name)) return [`${name} has no effect on this server`]
    const meant = closest(name, known)
    if (OWN_PREFIX.test(name)) return [`${name} is not a variable of this server${meant === null ? '' : `: did you mean ${meant}?`}`]
    if (SHARED_PREFIX.test(name) && meant !== null) return [`${name} has no effect on this server: did you mean ${meant}?`]
    return []
  })
}

/** A sentence for each known variable that changes nothing, because of another one that is set or missing. */
export function unusedVariables(given: readonly string[]): readonly string[] {
  const isSet = (name: string): boolean => given.includes(name)
  return given.flatMap((name) => {
    if (isSet('DATABASE_URL') && PART_OF_DATABASE.test(name)) return [`${name} has no effect: DATABASE_URL is set`]
    const needed = PART_OF_DATABASE.test(name) ? 'DB_HOST' : PART_OF_NATS.test(name) ? 'TIDEWIRE_NATS_URL' : null
    return needed === null || isSet(needed) ? [] : [`${name} has no effect without ${needed}`]
  })
}

const PART_OF_DATABASE = /^DB_(HOST|PORT|USER|PASSWORD|NAME|SSL)$/
const PART_OF_NATS = /^TIDEWIRE_NATS_/

/** Typing errors within this distance are taken for the known name. */
const MAX_DISTANCE = 2

function closest(name: string, known: readonly string[]): string | null {
  let best: string | null = null
  let least = MAX_DISTANCE + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= least) continue
    const distance = editDistance(name, candidate)
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = last[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      let cost = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) cost = Math.min(cost, beforeLast[j - 2]! + 1)
      row.push(cost)
    }
    ;[beforeLast, last] = [last, row]
  }
  return last[to.length]!
}
