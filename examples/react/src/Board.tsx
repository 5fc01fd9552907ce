import { useChannel } from 'millrace/react'
import { board } from './channels.ts'
import { Status } from './Status.tsx'

export function Board() {
  const { data: users, isStale } = useChannel(board, { label: 'Board' })
  return (
    <section id="board">
      <h2>
        <Count /> at the mill <Status channel={board} />
      </h2>
      <ul className="people" data-stale={isStale}>
        {users?.map(({ id, name }) => (
          <li key={id}>
            <b aria-hidden="true">{name.slice(0, 1)}</b> {name}
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Asks for the same channel, and costs no connection; it renders when the number is another. */
export function Count() {
  const { data: count } = useChannel(board, { select: (users) => users.length, label: 'Count' })
  return <output>{count ?? '…'}</output>
}
