import type { AdminLogRow } from '@tidewire/protocol'

/**
 * Why a message of the log had no receivers; `null` where it had some, or needed none. `othersMembers` are those of the topic of
 * the same name that is private where this one is public, or the other way round.
 */
export function whyUnheard({ kind, receivers, connection, private: isPrivate }: AdminLogRow, othersMembers: number): string | null {
  if (receivers !== 0) return null
  if (kind === 'change') return 'Not delivered: no channel subscribed to such rows, or no subscriber may see this one.'
  if (kind !== 'broadcast') return null
  const [own, other] = isPrivate === true ? ['private', 'public'] : ['public', 'private']
  const sentence = `Not delivered: ${connection === undefined ? 'no client' : 'no other client'} was in this ${own} topic.`
  if (othersMembers === 0) return sentence
  return `${sentence} The ${other} topic of the same name is another one; it has ${othersMembers} ${othersMembers === 1 ? 'member' : 'members'}.`
}
