/** Sets text, and only where it differs: the page is at rest when nothing happens. Never HTML. */
export function setText(element, value) {
  const text = String(value)
  if (element.textContent !== text) element.textContent = text
}

export const byId = (id) => document.getElementById(id)

export function element(name, className, text = '') {
  const made = document.createElement(name)
  made.className = className
  made.textContent = text
  return made
}

export const seconds = (ms) => (ms < 9_950 ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`)

const english = new Intl.NumberFormat('en')
export const count = (number) => english.format(number)

export function kilobytes(bytes) {
  return bytes < 1_000_000 ? `${count(Math.round(bytes / 1_000))} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

let sentence = ''

/** Says something to those who hear the page: the last of what was to be said within a second. */
export function announce(said) {
  if (sentence === '') setTimeout(say, 1_000)
  sentence = said
}

function say() {
  setText(byId('announcer'), sentence)
  sentence = ''
}
