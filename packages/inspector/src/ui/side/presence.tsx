import { parseTopicKey } from '@tidewire/protocol'
import type { VNode } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Inspector } from '../../inspector.ts'
import { ago, clock } from '../../stores/format.ts'
import { topicKey } from '../../stores/topic-list.ts'
import { visibleText } from '../../stores/visible-text.ts'
import { JsonView } from '../log/json-view.tsx'

const REFRESH_MS = 2_000

/** The presences of the chosen topic: key, metas, and since when. */
export function Presence({ inspector }: { readonly inspector: Inspector }): VNode {
  const chosen = inspector.topic.value
  const detail = inspector.detail.value
  useEffect(() => {
    if (chosen === null) return
    void inspector.refreshTopic()
    const timer = setInterval(() => void inspector.refreshTopic(), REFRESH_MS)
    return () => clearInterval(timer)
  }, [chosen])

  if (chosen === null) return <TopicChoice inspector={inspector} />
  const now = inspector.figures.last.value?.at ?? Date.now()
  return (
    <>
      <h2>
        <bdi class="mono">{visibleText(parseTopicKey(chosen).name)}</bdi>
        {detail !== null && (
          <span class="quiet">
            {detail.members} {detail.members === 1 ? 'member' : 'members'} · {detail.presences.length} present
          </span>
        )}
      </h2>
      {detail === null && <p class="empty">The topic has no members, or the answer is not there yet.</p>}
      {detail !== null && detail.presences.length === 0 && <p class="empty">No member tracks a presence here.</p>}
      <ul class="presences">
        {detail?.presences.map(({ key, metas, since }) => (
          <li key={key}>
            {metas.map((meta, index) => (
              <div key={index}>
                <p class="who">
                  <bdi class="mono">{visibleText(key)}</bdi>
                  {since[index] !== undefined && (
                    <time class="quiet" title={clock(since[index])}>
                      for {ago(since[index], now)}
                    </time>
                  )}
                </p>
                <JsonView text={JSON.stringify(meta)} truncated={undefined} />
              </div>
            ))}
          </li>
        ))}
      </ul>
    </>
  )
}

function TopicChoice({ inspector }: { readonly inspector: Inspector }): VNode {
  const topics = inspector.topics.shown.value.slice(0, 20)
  if (topics.length === 0) return <p class="empty">No topic has members yet.</p>
  return (
    <>
      <p class="quiet">Choose a topic to see its presences.</p>
      <div class="choices">
        {topics.map((topic) => (
          <button key={topicKey(topic)} class="quiet-button mono" onClick={() => inspector.chooseTopic(topicKey(topic))}>
            {visibleText(topic.topic)}
          </button>
        ))}
      </div>
    </>
  )
}
