import { cachedJson } from './cached-json'
import { fanOut } from './fan-out'
import { idleSubscribers } from './idle-subscribers'
import { manyStreams } from './many-streams'
import { mountCycles } from './mount-cycles'
import { relay } from './relay'
import { startServer } from './server'
import { isOver, printTable, type Row } from './table'
import { throughput } from './throughput'

// What it costs, side by side with others (`npm run bench`). Ratios of one run are what counts: absolute figures are
// those of this machine, now.
const benchmarks: Record<string, (origin: string) => Promise<Row[]>> = {
  throughput,
  'fan-out': fanOut,
  'cached-json': cachedJson,
  'idle-subscribers': idleSubscribers,
  'many-streams': manyStreams,
  'mount-cycles': mountCycles,
  relay,
}

const begin = performance.now()
const wanted = process.argv.slice(2)
const rows: Row[] = []
const server = await startServer()
try {
  for (const [name, measure] of Object.entries(benchmarks)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const start = performance.now()
    rows.push(...(await measure(server.origin)))
    process.stderr.write(`${name}: ${Math.round((performance.now() - start) / 1_000)} s\n`)
  }
} finally {
  server.stop()
}

printTable(rows)
const over = rows.filter(isOver).length
const seconds = Math.round((performance.now() - begin) / 1_000)
console.log(
  `\nNode ${process.versions.node}, ${seconds} s; medians. ${over ? `Over its limit: ${over}.` : 'Nothing is over its limit.'}`,
)
