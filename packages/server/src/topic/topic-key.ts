import type { TopicKey } from '../ports/topic.ts'

/** A topic key as one string, for maps and for other nodes. */
export function topicId({ name, private: isPrivate }: TopicKey): string {
  return (isPrivate ? 'private:' : 'public:') + name
}

/** The inverse of {@link topicId}. */
export function topicKeyOf(id: string): TopicKey {
  const colon = id.indexOf(':')
  return { name: id.slice(colon + 1), private: id.slice(0, colon) === 'private' }
}
