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
