import { byId, setText } from './text.js'

const conditions = {
  well: () => 'The server is well.',
  unavailable: (healsIn) => `The server answers 503 for ${healsIn} s more.`,
  missing: (healsIn) => `The server answers 404 for ${healsIn} s more.`,
  forgetful: (healsIn) => `The server replays too much for ${healsIn} s more.`,
}

/** The levers. They pull by plain `fetch`: the hand on the lever is no part of the machine. */
export function showFaults(counters) {
  for (const lever of document.querySelectorAll('[data-fault]')) {
    lever.addEventListener('click', () => pull(`/api/faults/${lever.dataset.fault}`))
  }
  byId('heal').addEventListener('click', () => pull('/api/heal'))
  counters.onCount(show)

  async function pull(lever) {
    try {
      const answer = await fetch(lever, { method: 'POST' })
      counters.tell(await answer.json())
    } catch {
      setText(byId('weather'), 'The server does not answer. Is it still running?')
    }
  }

  function show({ condition: { name, healsIn } }) {
    byId('weather').dataset.condition = name
    setText(byId('weather'), conditions[name](healsIn))
  }
}
