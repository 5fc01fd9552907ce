import { useEvents } from 'millrace/react'
import { useState } from 'react'
import { Board, Count } from './Board.tsx'
import { board } from './channels.ts'
import { Ledger } from './Ledger.tsx'
import { Ticker } from './Ticker.tsx'

const pages = { Mill: Both, Board, Ticker } as const
type Page = keyof typeof pages

export function App() {
  const [page, setPage] = useState<Page>('Mill')
  const Shown = pages[page]
  return (
    <>
      <header>
        <h1>Millrace</h1>
        <nav>
          {(Object.keys(pages) as Page[]).map((name) => (
            <button key={name} type="button" aria-pressed={name === page} onClick={() => setPage(name)}>
              {name}
            </button>
          ))}
        </nav>
        <Visitors />
      </header>
      <main>
        <Shown />
      </main>
      <Ledger />
    </>
  )
}

function Both() {
  return (
    <>
      <Board />
      <Ticker />
    </>
  )
}

/** The last one who came: an event, not a state of the board. */
function Visitors() {
  const [last, setLast] = useState<string>()
  useEvents(board, (event) => event.type === 'join' && setLast(event.data.name), { label: 'Visitors' })
  return (
    <p id="visitors">
      <Count /> here{last && `, ${last} came last`}
    </p>
  )
}
