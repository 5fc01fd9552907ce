/** Who is told of trouble: whoever listens, at most once in a while, and the console while somebody develops. */
import type { Alert } from '../primitives/alerts'
import type { Timers } from '../primitives/clock'
import type { Emitter } from '../primitives/emitter'
import { watchCpu, watchLag } from '../primitives/pressure'
import type { ClientEvents } from './api'
import type { ClientContext } from './context'
import type { ClientSettings } from './settings'

/** How many pairs of code and endpoint are remembered at most. */
const MOST_REMEMBERED = 500
/** Each alert is printed once, and no more than so many of them. */
const MOST_PRINTED = 100

export function createAlerts(
  clock: Pick<Timers, 'elapsed'>,
  settings: ClientSettings,
  emitter: Emitter<ClientEvents>,
): (alert: Alert) => void {
  const toldAt = new Map<string, number>()
  const printed = new Set<string>()
  return (alert) => {
    const { code, message, endpoint, channel = '' } = alert
    const key = `${code} ${endpoint ?? channel}`
    const now = clock.elapsed()
    if (now - (toldAt.get(key) ?? Number.NEGATIVE_INFINITY) < settings.thresholds.alertEvery) return
    toldAt.delete(key)
    toldAt.set(key, now)
    if (toldAt.size > MOST_REMEMBERED) toldAt.delete(toldAt.keys().next().value as string)
    emitter.emit('alert', () => alert)
    const isQuiet = settings.environment === 'production' && !settings.debug
    if (isQuiet || printed.has(key) || printed.size > MOST_PRINTED) return
    printed.add(key)
    console.warn(`[millrace] ${code}: ${message}`)
  }
}

/** Tells when the machine cannot keep up: timers that come late, and while `watch` is on, the CPU. Returns `watch`. */
export function watchPressure(context: ClientContext): (isOn: boolean) => void {
  const { clock, settings, alert } = context
  const limit = () => settings.thresholds.lag
  const lag = watchLag(limit, (ms) => tell(`Timers come ${Math.round(ms)} ms late`, ms))
  context.onTimer = (lateBy) => lag.onTimer(lateBy, clock.elapsed())
  let stop: (() => void) | undefined
  return (isOn) => {
    if (isOn) stop ??= watchCpu(() => lag.isLate() && tell('The CPU is under critical pressure', 1))
    else {
      stop?.()
      stop = undefined
    }
  }

  function tell(why: string, value: number): void {
    const message = `${why}: the machine is busy. If it is this page, use \`delivery: 'frame'\`, render or ask for less.`
    alert({ code: 'pressure', message, value, limit: limit() })
  }
}
