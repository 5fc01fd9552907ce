import { board } from './channels.js'
import { byId, element, setText } from './text.js'

const { bind } = window.Millrace

/** Chips of who is here. A chip stays the same element for as long as its user stays. */
export function showBoard(vitals) {
  const list = byId('board-people')
  const chips = new Map()

  // The number alone would be this line: an element, a channel, and how to show the one in the other.
  bind(byId('board-count'), board, ({ data }, number) => data && setText(number, data.length))
  vitals.watch(board, { state: ({ data }) => data && show(data) }, 'board panel')

  function show(users) {
    const here = new Set(users.map(({ id }) => id))
    for (const [id, chip] of chips) {
      if (here.has(id)) continue
      chip.remove()
      chips.delete(id)
    }
    for (const { id, name } of users) {
      if (chips.has(id)) continue
      const chip = element('li', 'person')
      const initial = element('span', 'initial', name.slice(0, 1))
      initial.setAttribute('aria-hidden', 'true')
      chip.append(initial, element('span', '', name))
      chips.set(id, chip)
      list.append(chip)
    }
  }
}
