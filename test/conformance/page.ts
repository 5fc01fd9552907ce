/** What the page loads: plays every case with the browser's own `EventSource` and with ours, and hands back the logs. */
import { ReconnectingEventSource } from 'millrace'
import { type Player, players, titleOf } from './case'
import { cases } from './cases'
import { fast } from './fast'
import { type Origins, run } from './run'

/** A browser opens six connections to one origin. */
const AT_ONCE = 5

export type Logs = Record<string, Record<Player, unknown>>

const sources = { browser: EventSource, ours: fast(ReconnectingEventSource) }

async function runAll(origins: Origins): Promise<Logs> {
  const logs: Logs = Object.fromEntries(cases.map((each) => [titleOf(each), { browser: undefined, ours: undefined }]))
  const turns = cases.flatMap((each, index) =>
    players.map((player) => async () => {
      logs[titleOf(each)]![player] = await run(each, sources[player], origins, `/${index}/${player}`)
    }),
  )
  const work = async () => {
    for (let turn = turns.shift(); turn; turn = turns.shift()) await turn()
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return logs
}

Object.assign(globalThis, { runAll })
