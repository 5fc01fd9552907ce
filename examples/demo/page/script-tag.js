import { board, oats, openStreams, server } from './channels.js'
import { byId, element, setText } from './text.js'

const { bind } = window.Millrace

/** What React and Vue show beside it, without either. */
export function showScriptTag() {
  const panel = byId('in-script')
  const show = Object.fromEntries([...panel.querySelectorAll('[data-show]')].map((node) => [node.dataset.show, node]))
  const button = panel.querySelector('button')
  let unbind = []

  button.addEventListener('click', () => (unbind.length > 0 ? leave() : join()))
  join()

  function join() {
    unbind = [
      bind(panel, board, showBoard),
      bind(show.oats, oats, ({ data }, node) => setText(node, data?.toFixed(2) ?? '–')),
      bind(show.open, server, ({ data }, node) => setText(node, data ? openStreams(data) : '–')),
    ]
    setText(show.verb, 'Leave')
  }

  function leave() {
    for (const stop of unbind) stop()
    unbind = []
    setStatus('idle', true)
    setText(show.verb, 'Join')
  }

  function showBoard({ data = [], status, isStale }) {
    setStatus(status, isStale)
    setText(show.count, data.length)
    show.people.replaceChildren(...data.map(({ name }) => element('li', 'person', name)))
  }

  function setStatus(status, isStale) {
    panel.dataset.status = status
    panel.dataset.stale = isStale
    setText(show.status, status)
  }
}
