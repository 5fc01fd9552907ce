import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from './until'

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

/**
 * Repeats a piece of work, and fails unless each of the later repetitions leaves less than so many bytes behind, of
 * which it tells. What `fetch` itself holds of a request that was broken off goes late, some seconds after it: hence the patience.
 */
export async function leavesLess(
  than: number,
  rounds: number,
  work: (round: number) => Promise<void>,
): Promise<number> {
  const warm = Math.ceil(rounds / 4)
  for (let round = 0; round < warm; round += 1) await work(round)
  const before = await lowestHeap()
  for (let round = warm; round < rounds; round += 1) await work(round)
  return until(async () => ((await settledHeap()) - before) / (rounds - warm), {
    accept: (left) => left < than,
    what: `less than ${than} bytes for each of ${rounds - warm} rounds`,
    within: 60_000,
  })
}

/** The lowest reading of a while, so that what goes late is not taken for what is there for good. */
async function lowestHeap(): Promise<number> {
  let lowest = Number.POSITIVE_INFINITY
  for (let reading = 0; reading < 5; reading += 1) {
    lowest = Math.min(lowest, await settledHeap())
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }
  return lowest
}

/** `global.gc` where the process was started with `--expose-gc`, else the same function from a context made with it. */
function collector(): () => void {
  if (globalThis.gc) return globalThis.gc as () => void
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
