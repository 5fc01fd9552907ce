import { useChannel } from 'millrace/react'
import { useState } from 'react'
import { createRoot } from 'react-dom/client'
// The page's own module: what is live is described once, for whoever shows it.
import { board, oats, openStreams, server } from '/channels.js'

function InReact() {
  const [enabled, setEnabled] = useState(true)
  const { data: people = [], status, isStale } = useChannel(board, { enabled })
  const { data: price } = useChannel(oats, { enabled })
  const { data: open = '–' } = useChannel(server, { enabled, select: openStreams })

  return (
    <article className="framework" id="in-react" data-status={status} data-stale={isStale}>
      <header>
        <h3>React</h3>
        <p className="status">
          <svg className="wheel" aria-hidden="true">
            <use href="#wheel" />
          </svg>
          {status}
        </p>
        <code>useChannel(board)</code>
      </header>
      <div className="count">
        <p className="figure">
          <strong>{people.length}</strong> <span>here now</span>
        </p>
        <button type="button" onClick={() => setEnabled(!enabled)}>
          {enabled ? 'Leave' : 'Join'} <span className="visually-hidden">with React</span>
        </button>
      </div>
      <ul className="people">
        {people.map(({ id, name }) => (
          <li className="person" key={id}>
            {name}
          </li>
        ))}
      </ul>
      <dl className="facts">
        <div className="wide">
          <dt>Oats</dt>
          <dd>{price?.toFixed(2) ?? '–'}</dd>
        </div>
        <div className="wide">
          <dt>The server sees</dt>
          <dd data-show="open">{open}</dd>
        </div>
      </dl>
    </article>
  )
}

createRoot(document.getElementById('react')).render(<InReact />)
