/** Topics on the wire start with this; what follows is the sub-topic, the name that users give. */
export const TOPIC_PREFIX = 'realtime:'

/** The topic of heartbeats. */
export const PHOENIX_TOPIC = 'phoenix'

/** The sub-topic of a wire topic, or `null` when the prefix is missing (rule T1). May be empty, which no join accepts (rule T2). */
export function subTopicOf(topic: string): string | null {
  return topic.startsWith(TOPIC_PREFIX) ? topic.slice(TOPIC_PREFIX.length) : null
}

/** The wire topic of a sub-topic. */
export function wireTopic(subTopic: string): string {
  return TOPIC_PREFIX + subTopic
}

/** The identity of a topic. A public and a private topic of one name are two (rule T3). */
export interface TopicKey {
  /** Without `realtime:`. */
  readonly name: string
  readonly private: boolean
}

/** A topic key as one text, for maps and for other nodes. */
export function formatTopicKey({ name, private: isPrivate }: TopicKey): string {
  return isPrivate ? `private:${name}` : `public:${name}`
}

/** Reads what {@link formatTopicKey} wrote. */
export function parseTopicKey(text: string): TopicKey {
  const colon = text.indexOf(':')
  return { name: text.slice(colon + 1), private: text.slice(0, colon) === 'private' }
}
