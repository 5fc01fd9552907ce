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

/** What one reader has still to read. */
interface Copy {
  readonly chunks: Uint8Array[]
  bytes: number
}

export function splitBody(
  source: BodyReader,
  count: number,
  endpoint: string,
  clock: Pick<Timers, 'after'>,
  account: (bytes: number) => void,
): BodyReader[] {
  const copies = new Set<Copy>()
  let waiting: (() => void)[] = []
  /** What the slowest has still to read: all chunks that are held. */
  let held = 0
  let isReading = false
  let end: { readonly error?: unknown } | undefined
  let cancelPatience: (() => void) | undefined
  return Array.from({ length: count }, readerOf)

  function readerOf(): BodyReader {
    const copy: Copy = { chunks: [], bytes: 0 }
    let isCancelled = false
    copies.add(copy)
    return {
      async read() {
        for (;;) {
          if (isCancelled) return { done: true }
          if (!copies.has(copy))
            throw requestError('overflow', endpoint, 'is shared, and this copy was not read. Use `dedupe: false`.')
          const value = copy.chunks.shift()
          if (value) {
            copy.bytes -= value.byteLength
            settle()
            return { done: false, value: value.slice() }
          }
          if (end && 'error' in end) throw end.error
          if (end) return { done: true }
          if (held < HELD) pull()
          else cancelPatience ??= clock.after(PATIENCE, dropSlowest, `unread body ${endpoint}`)
          await new Promise<void>((resolve) => waiting.push(resolve))
        }
      },
      async cancel() {
        isCancelled = true
        copies.delete(copy)
        settle()
      },
    }
  }

  async function pull(): Promise<void> {
    if (isReading) return
    isReading = true
    try {
      const { done, value } = await source.read()
      if (done || !value) end = {}
      else
        for (const copy of copies) {
          copy.chunks.push(value)
          copy.bytes += value.byteLength
        }
    } catch (error) {
      end = { error }
    }
    isReading = false
    settle()
  }

  function settle(): void {
    if (copies.size === 0 && !end) {
      end = {}
      source.cancel().catch(() => {})
    }
    const before = held
    held = Math.max(0, ...[...copies].map(({ bytes }) => bytes))
    account(held - before)
    if (held < HELD) {
      cancelPatience?.()
      cancelPatience = undefined
    }
    const all = waiting
    waiting = []
    for (const resolve of all) resolve()
  }

  function dropSlowest(): void {
    cancelPatience = undefined
    for (const copy of copies) if (copy.bytes === held) copies.delete(copy)
    settle()
  }
}
