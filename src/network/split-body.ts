/**
 * One body for several readers, with a bound on what is held for the slower ones; `tee()` has none. Who is ahead waits
 * for them a while; whoever does not read meanwhile loses its copy.
 */
import type { Timers } from '../primitives/clock'
import { requestError } from '../primitives/http'

export interface BodyReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>
  cancel(): Promise<void>
}

/** Bytes that are held for readers that are behind. */
const HELD = 4 * 2 ** 20
/** ms that the others wait for one who does not read. */
const PATIENCE = 5_000

interface Copy {
  /** The number of the chunk that it reads next. */
  at: number
}

export function splitBody(
  body: ReadableStream<Uint8Array>,
  count: number,
  endpoint: string,
  clock: Pick<Timers, 'after'>,
  account: (bytes: number) => void,
): BodyReader[] {
  const source = body.getReader()
  const copies = new Set<Copy>()
  const waiting = new Set<() => void>()
  /** What somebody has still to read. `first` is the number of the first of them. */
  const chunks: Uint8Array[] = []
  let first = 0
  let bytes = 0
  let isReading = false
  let end: { readonly error?: unknown } | undefined
  let cancelPatience: (() => void) | undefined
  return Array.from({ length: count }, readerOf)

  function readerOf(): BodyReader {
    const copy: Copy = { at: 0 }
    let isCancelled = false
    copies.add(copy)
    return {
      async read() {
        for (;;) {
          if (isCancelled) return { done: true }
          if (!copies.has(copy))
            throw requestError(
              'overflow',
              endpoint,
              'has an answer that several share, and this copy was not read. Use `dedupe: false`.',
            )
          const value = chunks[copy.at - first]
          if (value) {
            copy.at++
            trim()
            // The last one may do with it what it wants.
            return { done: false, value: copy.at > first ? value.slice() : value }
          }
          if (end && 'error' in end) throw end.error
          if (end) return { done: true }
          if (bytes < HELD) pull()
          else cancelPatience ??= clock.after(PATIENCE, dropSlowest, `unread body ${endpoint}`)
          await new Promise<void>((resolve) => waiting.add(resolve))
        }
      },
      async cancel() {
        isCancelled = true
        copies.delete(copy)
        trim()
        wake()
      },
    }
  }

  function pull(): void {
    if (isReading) return
    isReading = true
    source
      .read()
      .then(
        ({ done, value }) => {
          if (done) end = {}
          else {
            chunks.push(value)
            hold(value.byteLength)
          }
        },
        (error) => {
          end = { error }
        },
      )
      .finally(() => {
        isReading = false
        trim()
        wake()
      })
  }

  /** Gives back what everybody has read. */
  function trim(): void {
    if (copies.size === 0 && !end) {
      end = {}
      source.cancel().catch(() => {})
    }
    const next = Math.min(first + chunks.length, ...[...copies].map(({ at }) => at))
    if (next === first) return
    const read = chunks.splice(0, next - first)
    first = next
    hold(-read.reduce((sum, { byteLength }) => sum + byteLength, 0))
    wake()
  }

  function dropSlowest(): void {
    cancelPatience = undefined
    for (const copy of copies) if (copy.at === first) copies.delete(copy)
    trim()
  }

  function hold(more: number): void {
    bytes += more
    account(more)
    if (bytes >= HELD) return
    cancelPatience?.()
    cancelPatience = undefined
  }

  function wake(): void {
    for (const resolve of waiting) resolve()
    waiting.clear()
  }
}
