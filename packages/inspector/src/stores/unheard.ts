import type { AdminLogRow } from '@tidewire/protocol'

/**
 * Why nobody got what a row tells of; `null` where somebody did, or nobody was meant to. `othersMembers` are those of the topic of
 * the same name that is private where this one is public, or the other way round.
 */
export function whyUnheard({ kind, receivers, connection, private: isPrivate }: AdminLogRow, othersMembers: number): string | null {
  if (receivers !== 0) return null
  if (kind === 'change') return 'Nobody got it: no channel asks for such a row, or none of those who ask may see it.'
  if (kind !== 'broadcast') return null
  const [own, other] = isPrivate === true ? ['private', 'public'] : ['public', 'private']
  const nobody = `Nobody got it: ${connection === undefined ? 'no client' : 'no other client'} was in this ${own} topic.`
  if (othersMembers === 0) return nobody
  return `${nobody} The ${other} topic of the same name is another one; it has ${othersMembers} ${othersMembers === 1 ? 'member' : 'members'}.`
}
