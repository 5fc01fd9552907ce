import { inspect } from 'node:util'

interface Wait<T> {
  /** What counts as arrived; without it, any value that is neither `undefined`, `null`, `false`, `0` nor `''`. */
  accept?: (value: T) => boolean
  /** For the failure message: "waited for ..." */
  what?: string
  /** ms until it fails: what a loaded machine may take, which a test that passes does not wait for. */
  within?: number
}

// Taken when the file loads, so that fake timers do not stop the wait.
const later = setTimeout
const cancel = clearTimeout
const monotonic = performance.now.bind(performance)

const PATIENCE = 15_000

/**
 * Reads a value again and again until it is accepted, and resolves with it. While `read` throws (an `expect`, say) it
 * goes on too. The failure tells what was seen last.
 */
export async function until<T>(read: () => T | Promise<T>, wait: Wait<T> | string = {}): Promise<T> {
  const {
    accept = Boolean,
    what = read.toString(),
    within = PATIENCE,
  } = typeof wait === 'string' ? { what: wait } : wait
  const deadline = monotonic() + within
  let seen = ''
  for (;;) {
    try {
      const value = await read()
      if (accept(value)) return value
      seen = inspect(value, { depth: 4, breakLength: 120 })
    } catch (error) {
      seen = `it threw ${error instanceof Error ? error.message : inspect(error)}`
    }
    if (monotonic() >= deadline) throw new Error(`Waited ${within} ms for ${what}. Last seen: ${seen}`)
    await new Promise((resolve) => later(resolve, 4))
  }
}

/**
 * Resolves with the next event of that type that is accepted. The failure tells which ones came and were not, and what
 * `state` reads by then.
 */
export function untilEvent<E extends Event = Event>(
  target: EventTarget,
  type: string,
  {
    accept = () => true,
    within = PATIENCE,
    state,
  }: { accept?: (event: E) => boolean; within?: number; state?: () => unknown } = {},
): Promise<E> {
  return new Promise((resolve, reject) => {
    const others: Event[] = []
    const timer = later(() => {
      stop()
      const seen = `${inspect(others.slice(-5), { depth: 1 })}${state ? `, state ${inspect(state())}` : ''}`
      reject(new Error(`Waited ${within} ms for "${type}". Last seen: ${others.length} not accepted ${seen}`))
    }, within)
    target.addEventListener(type, listen)

    function listen(event: Event): void {
      if (!accept(event as E)) {
        others.push(event)
        return
      }
      stop()
      resolve(event as E)
    }

    function stop(): void {
      cancel(timer)
      target.removeEventListener(type, listen)
    }
  })
}

/** Fails a promise that takes too long instead of letting the whole test time out without a word. */
export function within<T>(ms: number, promise: PromiseLike<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = later(() => reject(new Error(`Waited ${ms} ms for ${what}. Last seen: still pending`)), ms)
    promise.then(
      (value) => {
        cancel(timer)
        resolve(value)
      },
      (error) => {
        cancel(timer)
        reject(error)
      },
    )
  })
}
