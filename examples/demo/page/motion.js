/** One loop of frames for all that is drawn, and the colours of the theme to draw with. */
export function createMotion() {
  const calm = matchMedia('(prefers-reduced-motion: reduce)')
  const drawers = new Set()
  const colours = new Map()
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => colours.clear())
  let drawnAt = 0
  requestAnimationFrame(frame)

  return {
    onFrame: (draw) => void drawers.add(draw),
    colour: (name) => () => colourOf(name),
    get reduced() {
      return calm.matches
    },
  }

  /** Who asked for less motion sees what is new twice a second. */
  function frame(now) {
    requestAnimationFrame(frame)
    if (calm.matches && now - drawnAt < 500) return
    for (const draw of drawers) draw(now - drawnAt)
    drawnAt = now
  }

  function colourOf(name) {
    if (!colours.has(name)) {
      colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim())
    }
    return colours.get(name)
  }
}

/** Gives a canvas one dot for each of the screen's. */
export function fitScreen(canvas) {
  const ratio = window.devicePixelRatio || 1
  const width = Math.round(canvas.clientWidth * ratio)
  const height = Math.round(canvas.clientHeight * ratio)
  if (canvas.width !== width) canvas.width = width
  if (canvas.height !== height) canvas.height = height
  return { width, height }
}
