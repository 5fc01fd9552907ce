import { useJson, useStats } from 'millrace/react'

interface Server {
  connections: { board: number; ticker: number }
}

/** What the client counts, next to what the server counts: it cannot be talked round. */
export function Ledger() {
  const { subscriptions, channels, requests } = useStats()
  const { data: server } = useJson<Server>('/api/server', { interval: 2_000, label: 'Ledger' })
  return (
    <footer>
      <p>
        <b>{subscriptions.active}</b> subscribers on <b>{channels.length}</b> channels,{' '}
        <b>{Math.round(requests.saved * 100)} %</b> of requests saved.
      </p>
      <p>
        The server counts <b id="connections">{server ? Object.values(server.connections).join(' + ') : '…'}</b>{' '}
        connections: board, ticker and the demo&apos;s crawl.
      </p>
    </footer>
  )
}
