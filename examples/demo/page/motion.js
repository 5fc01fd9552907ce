/** ms between frames: with the wait for the screen some 30 a second, and water needs no more. */
const pause = 20

/** One loop of frames for all that is drawn, and the colours of the theme to draw with. */
export function createMotion() {
  const calm = matchMedia('(prefers-reduced-motion: reduce)')
  const drawings = []
  const colours = new Map()
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => colours.clear())
  const sight = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      for (const drawing of drawings) if (drawing.element === target) drawing.inSight = isIntersecting
    }
  })
  requestAnimationFrame(frame)

  return {
    animate,
    colour: (name) => () => colourOf(name),
    get reduced() {
      return calm.matches
    },
  }

  /** Draws while the element is in sight. `draw` is told how many ms have passed. */
  function animate(element, draw) {
    drawings.push({ element, draw, inSight: true, drawnAt: 0 })
    sight.observe(element)
  }

  function frame(now) {
    for (const drawing of drawings) {
      if (!drawing.inSight) continue
      drawing.draw(now - drawing.drawnAt)
      drawing.drawnAt = now
    }
    setTimeout(() => requestAnimationFrame(frame), calm.matches ? 500 : pause)
  }

  function colourOf(name) {
    if (!colours.has(name)) {
      colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim())
    }
    return colours.get(name)
  }
}

// Asking an element for its size makes the browser lay the page out; being told of it does not.
const sizes = new WeakMap()
const resizes = new ResizeObserver((changes) => {
  for (const { target, contentRect } of changes) sizes.set(target, contentRect)
})

/** Gives a canvas one dot for each of the screen's. */
export function fitScreen(canvas) {
  if (!sizes.has(canvas)) {
    sizes.set(canvas, { width: canvas.clientWidth, height: canvas.clientHeight })
    resizes.observe(canvas)
  }
  const size = sizes.get(canvas)
  const ratio = window.devicePixelRatio || 1
  const width = Math.round(size.width * ratio)
  const height = Math.round(size.height * ratio)
  if (canvas.width !== width) canvas.width = width
  if (canvas.height !== height) canvas.height = height
  return { width, height, ratio }
}
