import type { Channel } from 'millrace'
import { useChannel } from 'millrace/react'

/** How a channel is doing, and a way out where it does not help itself. Data makes it render never. */
export function Status<S, E>({ channel }: { channel: Channel<S, E> }) {
  const { status, error, refresh } = useChannel(channel, { label: 'Status' })
  return (
    <span className="status" data-status={status} title={error?.message}>
      {status}
      {status === 'failed' && (
        <button type="button" onClick={refresh}>
          try again
        </button>
      )}
    </span>
  )
}
