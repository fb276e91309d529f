import { RealtimeProvider, useChannel, useChannelStatus, useGap, usePostgresChanges, usePresence } from '@tidewire/react'
import { StrictMode, useEffect, useState, type ReactElement } from 'react'
import { createRoot } from 'react-dom/client'
import { nameInAddress, signIn, type Session } from '../app/client.js'

type Lane = 'todo' | 'doing' | 'done'
type Card = { id: number; owner: string; title: string; lane: Lane; is_shared: boolean; version: number }
type Database = { public: { Tables: { cards: { Row: Card } } } }

const lanes: readonly (readonly [Lane, string])[] = [
  ['todo', 'To do'],
  ['doing', 'Doing'],
  ['done', 'Done'],
]

function App(): ReactElement {
  const [session, setSession] = useState<Session | null>(null)
  const [fault, setFault] = useState('')
  const enter = (name: string): void => {
    signIn(name).then(
      (made) => {
        location.hash = name
        setSession(made)
      },
      (error: Error) => setFault(error.message),
    )
  }
  useEffect(() => {
    if (nameInAddress() !== '') enter(nameInAddress())
  }, [])
  if (session === null) return <Door enter={enter} fault={fault} />
  return (
    <RealtimeProvider client={session.client}>
      <Board session={session} />
    </RealtimeProvider>
  )
}

function Board({ session: { name, ask } }: { readonly session: Session }): ReactElement {
  const channel = useChannel<object, object, Database>('board', { config: { presence: { key: name } } })
  const { state } = useChannelStatus(channel)
  const { members } = usePresence(channel, { initial: {} })
  const [cards, setCards] = useState<ReadonlyMap<number, Card>>(new Map())

  // A row may come twice, fetched and as a change: the newer version stays.
  const take = (rows: readonly Card[]): void => {
    setCards((before) => {
      const after = new Map(before)
      for (const row of rows) if ((after.get(row.id)?.version ?? 0) < row.version) after.set(row.id, row)
      return after
    })
  }
  const refetch = (): void => void ask<Card>('cards').then(take)

  // The policy lets this user see these rows; others do not arrive.
  usePostgresChanges(channel, 'INSERT', { schema: 'public', table: 'cards' }, ({ new: card }) => take([card]))
  usePostgresChanges(channel, 'UPDATE', { schema: 'public', table: 'cards' }, ({ new: card }) => take([card]))
  useGap(channel, refetch)
  useEffect(() => {
    if (state === 'joined') refetch()
  }, [state])

  return (
    <>
      <header>
        <h1>Board</h1>
        <p role="status" data-state={state}>
          {state === 'joined' ? `live as ${name}` : 'connecting'}
        </p>
        <ul aria-label="Who is here">
          {[...new Set(members.map(({ key }) => key))].map((key) => (
            <li key={key}>{key}</li>
          ))}
        </ul>
      </header>
      <NewCard add={(title) => void ask('add', title)} />
      <main>
        {lanes.map(([lane, title]) => (
          <section key={lane} aria-label={title}>
            <h2>{title}</h2>
            {[...cards.values()]
              .filter((card) => card.lane === lane)
              .toSorted((a, b) => a.id - b.id)
              .map((card) => (
                <CardView key={card.id} card={card} isOwn={card.owner === name} ask={ask} />
              ))}
          </section>
        ))}
      </main>
    </>
  )
}

function CardView({ card, isOwn, ask }: { readonly card: Card; readonly isOwn: boolean; readonly ask: Session['ask'] }): ReactElement {
  const at = lanes.findIndex(([lane]) => lane === card.lane)
  const [before, after] = [lanes[at - 1]?.[0], lanes[at + 1]?.[0]]
  return (
    <article className={card.is_shared ? 'shared' : ''} data-card={card.title}>
      <p>{card.title}</p>
      <footer>
        <small>{card.is_shared ? `${card.owner}, shared` : 'only you'}</small>
        {isOwn && !card.is_shared && <button onClick={() => void ask('share', card.id)}>Share</button>}
        <button aria-label="Move left" disabled={before === undefined} onClick={() => void ask('move', card.id, before)}>
          ←
        </button>
        <button aria-label="Move right" disabled={after === undefined} onClick={() => void ask('move', card.id, after)}>
          →
        </button>
      </footer>
    </article>
  )
}

function NewCard({ add }: { readonly add: (title: string) => void }): ReactElement {
  const [title, setTitle] = useState('')
  const submit = (event: { preventDefault(): void }): void => {
    event.preventDefault()
    add(title)
    setTitle('')
  }
  return (
    <form className="new" onSubmit={submit}>
      <input
        aria-label="New card"
        placeholder="A new card, for you alone"
        value={title}
        maxLength={120}
        required
        onChange={({ target }) => setTitle(target.value)}
      />
      <button>Add</button>
    </form>
  )
}

function Door({ enter, fault }: { readonly enter: (name: string) => void; readonly fault: string }): ReactElement {
  const [name, setName] = useState('')
  const submit = (event: { preventDefault(): void }): void => {
    event.preventDefault()
    enter(name)
  }
  return (
    <form className="door" onSubmit={submit}>
      <h1>Board</h1>
      <label>
        Who are you?
        <input value={name} pattern="[a-z]{1,20}" placeholder="ada" required onChange={({ target }) => setName(target.value)} />
      </label>
      <button>Enter</button>
      <p role="alert">{fault}</p>
    </form>
  )
}

createRoot(document.body.appendChild(document.createElement('div'))).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
