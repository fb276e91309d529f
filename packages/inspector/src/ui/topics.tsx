import type { VNode } from 'preact'
import type { Inspector } from '../inspector.ts'
import { count } from '../stores/format.ts'
import { topicKey } from '../stores/topic-list.ts'
import { visibleText } from '../stores/visible-text.ts'
import { moveFocus } from './browser/move-focus.ts'

/** More than this is not drawn; the filter finds the others. */
const MOST_DRAWN = 500

/** The topics on the left with their members, live. Choosing one filters nothing; it fills the tabs and the composer. */
export function Topics({ inspector }: { readonly inspector: Inspector }): VNode {
  const { topics } = inspector
  const shown = topics.shown.value
  const drawn = shown.slice(0, MOST_DRAWN)
  const hidden = shown.length - drawn.length + topics.more.value
  return (
    <nav class="topics" aria-label="Topics">
      <div class="bar">
        <input
          id="topic-filter"
          type="search"
          aria-label="Filter topics"
          placeholder="Filter topics"
          spellcheck={false}
          value={topics.filter.value}
          onInput={(event) => (topics.filter.value = event.currentTarget.value)}
        />
        <span class="quiet mono">
          {count(topics.total.value)}
          <span class="unseen"> topics in all</span>
        </span>
      </div>
      <ul onKeyDown={(event) => moveFocus(event, 'button')}>
        {drawn.map((topic) => {
          const key = topicKey(topic)
          const isChosen = inspector.topic.value === key
          return (
            <li key={key}>
              <button
                class="row"
                aria-pressed={isChosen}
                title={visibleText(topic.topic)}
                onClick={() => inspector.chooseTopic(isChosen ? null : key)}
              >
                <bdi class="name mono">{visibleText(topic.topic)}</bdi>
                {topic.private && <span class="tag">private</span>}
                <span class="mono number">
                  {count(topic.members)}
                  <span class="unseen"> {topic.members === 1 ? 'member' : 'members'}</span>
                </span>
              </button>
            </li>
          )
        })}
      </ul>
      {shown.length === 0 && (
        <p class="empty">{topics.filter.value === '' ? 'No client has joined a topic yet.' : 'No topic has this in its name.'}</p>
      )}
      {hidden > 0 && <p class="empty">{count(hidden)} more are not listed.</p>}
    </nav>
  )
}
