import { announce, byId, count, seconds, setText } from './text.js'

const reasons = {
  hidden: 'the page is hidden',
  offline: 'there is no network',
  disabled: 'the sluice is shut',
  runaway: 'too many requests',
  'stream-limit': 'too many streams',
  pressure: 'the machine is busy',
  identity: 'who is it?',
}

/**
 * Shows how a channel fares in a panel: what its subscribers are told, what `client.stats()` counts, and how many
 * connections the server sees. Returns `watch`, which turns to another channel (the panel of crawls has many).
 */
export function createVitals(client, counters, panelId) {
  const panel = byId(panelId)
  panel.append(byId('vitals').content.cloneNode(true))
  const show = Object.fromEntries([...panel.querySelectorAll('[data-show]')].map((node) => [node.dataset.show, node]))
  const name = panel.querySelector('h2').textContent
  panel.querySelector('header').append(show['status-line'])
  let channel
  let subscription

  // Should it fail again, the state says so.
  show['try-again'].addEventListener('click', () => client.refresh(channel).catch(() => {}))
  counters.onCount(({ connections }) => showConnections(connections[panelId]))
  setInterval(showFigures, 250)

  return { watch }

  function watch(next, observer, label) {
    subscription?.unsubscribe()
    channel = next
    subscription = client.subscribe(
      channel,
      {
        ...observer,
        state(state) {
          showStatus(state)
          observer.state?.(state)
        },
      },
      { label, delivery: observer.batch ? 'frame' : 'each' },
    )
    showStatus(subscription.state)
    observer.state?.(subscription.state)
  }

  function showStatus({ status, pausedBy, role, error }) {
    if (panel.dataset.status !== status) {
      if (panel.dataset.status) announce(`${name}: ${status}`)
      panel.dataset.status = status
      showFigures()
    }
    setText(show.status, status)
    setText(show.why, pausedBy ? reasons[pausedBy] : role === 'follower' ? 'through another tab' : '')
    setText(show.error, error?.message ?? '')
    show.trouble.hidden = !error
    show['try-again'].hidden = status !== 'failed'
  }

  /** What changes with time alone: the countdown, the age of the data, the counters. */
  function showFigures() {
    if (!channel) return
    const { attempt, retryAt, updatedAt, isStale, status } = client.getState(channel)
    const now = Date.now()
    const waits = status === 'reconnecting' || status === 'polling'
    setText(show.attempt, attempt)
    setText(show.retry, !waits || retryAt === undefined ? '–' : retryAt > now ? `in ${seconds(retryAt - now)}` : 'now')
    setText(show.data, updatedAt ? `${isStale ? 'stale' : 'fresh'}, ${seconds(now - updatedAt)} old` : 'none yet')
    panel.dataset.stale = isStale

    const counted = client.stats().channels.find(({ key }) => key === subscription?.key)
    if (!counted) return
    setText(show.subscribers, count(counted.subscribers.length))
    setText(show.rate, `${count(counted.events)}, ${Math.round(counted.perSecond)}/s`)
    setText(show.duplicates, count(counted.duplicates))
    setText(show.invalid, `${count(counted.invalid)}, ${count(counted.ignored)}`)
  }

  function showConnections(open) {
    setText(show.connections, `${open} open`)
  }
}
