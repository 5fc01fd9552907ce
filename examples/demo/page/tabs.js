import { board } from './channels.js'
import { byId, setText } from './text.js'

const roles = {
  leader: 'This tab leads: it has the connection, and tells the others.',
  follower: 'This tab follows: another one has the connection.',
  solo: 'Each tab serves itself here: this browser cannot share.',
}
const presence = 'millrace demo'

/** Which part this tab plays among those of the demo, and two ways to change it. */
export function showTabs(client) {
  const others = new BroadcastChannel(presence)
  const isLeader = () => client.getState(board).role === 'leader'
  others.onmessage = () => isLeader() && location.reload()
  byId('open-tab').addEventListener('click', () => window.open('/'))
  byId('reload-leader').addEventListener('click', () => {
    if (isLeader()) location.reload()
    else others.postMessage('reload')
  })

  // Held by every tab at once, as long as it is there.
  navigator.locks?.request(presence, { mode: 'shared' }, () => new Promise(() => {}))
  setInterval(show, 500)
  show()

  async function show() {
    const { role } = client.getState(board)
    byId('tabs').dataset.role = role ?? 'none'
    setText(byId('tab-role'), roles[role] ?? 'This tab takes no part for now.')
    const { held = [] } = (await navigator.locks?.query()) ?? {}
    const count = held.filter(({ name }) => name === presence).length || 1
    setText(byId('tab-count'), String(count))
    setText(byId('tab-noun'), count === 1 ? 'tab of the demo' : 'tabs of the demo')
  }
}
