import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const ROUNDS = 20
const CALM = 0.005

/**
 * Bytes of JavaScript heap in use once nothing more can be collected: collects until two readings in a row differ by
 * less than half a percent, since finalisers and weak references need several rounds.
 */
export async function settledHeap(): Promise<number> {
  const collect = collector()
  let before = Number.POSITIVE_INFINITY
  let lowest = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round += 1) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
    const used = process.memoryUsage().heapUsed
    lowest = Math.min(lowest, used)
    if (round > 1 && Math.abs(before - used) < used * CALM) break
    before = used
  }
  return lowest
}

/** `global.gc` where the process was started with `--expose-gc`, else the same function from a context made with it. */
function collector(): () => void {
  if (globalThis.gc) return globalThis.gc as () => void
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
