import { byId, count, element, kilobytes, seconds, setText } from './text.js'

const mostAlerts = 8

/** What the SDK says of itself: its figures, its alerts, and the switch that stops it. */
export function showLedger(client) {
  const stat = (name) => document.querySelector(`[data-stat="${name}"]`)
  client.on('alert', showAlert)
  client.on('switch', showSwitch)
  byId('switch').addEventListener('click', () => {
    if (client.enabled) client.disable('the sluice of the demo page')
    else client.enable()
  })
  setInterval(showStats, 500)
  showStats()

  function showStats() {
    const { requests, subscriptions, timers, memory, tabs } = client.stats()
    const { status, reasons } = client.health()
    setText(stat('health'), status)
    setText(stat('reasons'), reasons.join('; '))
    stat('reasons').parentElement.hidden = reasons.length === 0
    setText(stat('asked'), count(requests.asked))
    setText(stat('sent'), count(requests.sent))
    setText(stat('saved'), `${Math.round(requests.saved * 100)} %`)
    setText(stat('lifetime'), seconds(subscriptions.averageLifetime))
    setText(stat('memory'), kilobytes(memory))
    setText(stat('tabs'), tabs.shared ? `leads ${tabs.leading}, follows ${tabs.following}` : 'no')
    setText(stat('timers'), count(timers.length))
    const lines = timers.slice(0, 12).map(({ label, dueAt }) => `${label}, in ${seconds(dueAt - Date.now())}`)
    byId('timers').replaceChildren(...lines.map((line) => element('li', '', line)))
  }

  function showAlert({ code, message, subscriber }) {
    const item = element('li', 'alert')
    const time = element('time', '', new Date().toLocaleTimeString('en-GB'))
    item.append(time, element('strong', '', code), element('span', '', message))
    if (subscriber && !message.includes(subscriber)) item.append(element('em', '', subscriber))
    byId('alerts').prepend(item)
    while (byId('alerts').children.length > mostAlerts) byId('alerts').lastElementChild.remove()
    byId('no-alerts').hidden = true
  }

  function showSwitch({ enabled }) {
    byId('switch').setAttribute('aria-checked', String(enabled))
    setText(byId('switch').querySelector('[data-show="switch"]'), enabled ? 'open' : 'shut')
  }
}
