import type { AdminConnection } from '@tidewire/protocol'
import type { VNode } from 'preact'
import type { Inspector } from '../../inspector.ts'
import { nameOf } from '../../stores/connection-list.ts'
import { ago, bytes, clock, count } from '../../stores/format.ts'
import { visibleText } from '../../stores/visible-text.ts'
import { JsonView } from '../log/json-view.tsx'
import { Fact } from '../log/log-detail.tsx'

const MOST_DRAWN = 200

/** The open connections, and the last closed ones. */
export function Connections({ inspector }: { readonly inspector: Inspector }): VNode {
  const { connections } = inspector
  const open = connections.open.value
  const closed = connections.closed.value
  const chosen = inspector.connection.value === null ? undefined : connections.get(inspector.connection.value)
  const now = inspector.figures.last.value?.at ?? Date.now()
  const hidden = Math.max(0, open.length - MOST_DRAWN) + connections.more.value
  return (
    <>
      {chosen !== undefined && <Chosen inspector={inspector} connection={chosen} now={now} />}
      <Table inspector={inspector} title="Open" list={open.slice(0, MOST_DRAWN)} now={now} />
      {open.length === 0 && <p class="empty">No client is connected.</p>}
      {hidden > 0 && <p class="empty">{count(hidden)} more are not listed.</p>}
      {closed.length > 0 && <Table inspector={inspector} title="Closed" list={closed} now={now} />}
    </>
  )
}

interface TableProps {
  readonly inspector: Inspector
  readonly title: string
  readonly list: readonly AdminConnection[]
  readonly now: number
}

function Table({ inspector, title, list, now }: TableProps): VNode {
  return (
    <table class="connections">
      <caption>{title}</caption>
      <thead>
        <tr>
          <th scope="col">User</th>
          <th scope="col" class="number" title="Channels">
            Ch
          </th>
          <th scope="col" class="number">
            In
          </th>
          <th scope="col" class="number">
            Out
          </th>
          <th scope="col" class="number">
            Queue
          </th>
          <th scope="col" class="number" title={title === 'Open' ? 'Since the last heartbeat' : 'Since the close'}>
            {title === 'Open' ? 'Beat' : 'Ago'}
          </th>
        </tr>
      </thead>
      <tbody>
        {list.map((connection) => {
          const { id, role, channels, received, sent, queueBytes, lastHeartbeatAt, closed } = connection
          const isChosen = inspector.connection.value === id
          const beat = closed?.at ?? lastHeartbeatAt
          return (
            <tr key={id} class={isChosen ? 'chosen' : ''}>
              <th scope="row">
                <button class="link" aria-pressed={isChosen} onClick={() => (inspector.connection.value = isChosen ? null : id)}>
                  <bdi>{visibleText(nameOf(connection))}</bdi>
                </button>
                {role !== null && role !== nameOf(connection) && <span class="quiet"> {visibleText(role)}</span>}
                {closed !== undefined && (
                  <span class="quiet why">
                    {closed.code} {visibleText(closed.reason)}
                  </span>
                )}
              </th>
              <td class="number mono">{channels.length}</td>
              <td class="number mono">{count(received)}</td>
              <td class="number mono">{count(sent)}</td>
              <td class={queueBytes > 0 ? 'number mono bad' : 'number mono'}>{queueBytes === 0 ? '0' : bytes(queueBytes)}</td>
              <td class="number mono">{beat === null ? '–' : ago(beat, now)}</td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}

function Chosen({
  inspector,
  connection,
  now,
}: {
  readonly inspector: Inspector
  readonly connection: AdminConnection
  readonly now: number
}): VNode {
  const { id, role, claims, vsn, connectedAt, lastHeartbeatAt, channels, received, sent, queueBytes, closed, address, userAgent } =
    connection
  return (
    <section class="chosen" aria-label="The chosen connection">
      <h2>
        <bdi>{visibleText(nameOf(connection))}</bdi>
        <button class="quiet-button" aria-label="Close" onClick={() => (inspector.connection.value = null)}>
          ×
        </button>
      </h2>
      <dl class="facts">
        <Fact name="Id">{visibleText(id)}</Fact>
        <Fact name="Role">{role === null ? 'unreadable token' : visibleText(role)}</Fact>
        <Fact name="Connected">
          {clock(connectedAt)} (for {ago(connectedAt, closed?.at ?? now)})
        </Fact>
        {address !== null && <Fact name="Address">{visibleText(address)}</Fact>}
        {userAgent !== null && <Fact name="User agent">{visibleText(userAgent)}</Fact>}
        <Fact name="Protocol">{visibleText(vsn)}</Fact>
        <Fact name="Messages">
          {received.toLocaleString('en')} in, {sent.toLocaleString('en')} out
        </Fact>
        <Fact name="Queue">{bytes(queueBytes)}</Fact>
        <Fact name="Heartbeat">{lastHeartbeatAt === null ? 'none yet' : `${ago(lastHeartbeatAt, now)} ago`}</Fact>
        {closed !== undefined && (
          <Fact name="Closed">
            {clock(closed.at)} with {closed.code}: {visibleText(closed.reason)}
          </Fact>
        )}
      </dl>
      <h3>Claims</h3>
      <JsonView key={id} text={JSON.stringify(claims)} truncated={undefined} />
      <h3>Channels</h3>
      {channels.length === 0 && <p class="empty">It has joined no topic.</p>}
      <ul class="channels">
        {channels.map(({ topic, private: isPrivate, role: as, sub }) => (
          <li key={topic}>
            <bdi class="mono">{visibleText(topic)}</bdi>
            {isPrivate && <span class="tag">private</span>}
            {as !== null && (as !== role || sub !== null) && (
              <span class="quiet">as {visibleText(sub === null ? as : `${sub} (${as})`)}</span>
            )}
            <button class="quiet-button" onClick={() => inspector.askWhy({ about: 'topic', connection: id, topic, private: isPrivate })}>
              Why?
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
