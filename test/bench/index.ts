import { cachedJson } from './cached-json'
import { fanOut } from './fan-out'
import { guardedFetch } from './guarded-fetch'
import { idleComponents } from './idle-components'
import { idleSubscribers } from './idle-subscribers'
import { manyStreams } from './many-streams'
import { mountCycles } from './mount-cycles'
import { writeReadme } from './readme'
import { relay } from './relay'
import { startServer } from './server'
import { isOver, printTable, type Row } from './table'
import { throughput } from './throughput'

// What it costs, side by side with others (`npm run bench`, or with names, some of it). Ratios of one run are what counts:
// absolute figures are those of this machine, now. `--write` puts all of it into the README.
const benchmarks: Record<string, (origin: string) => Promise<Row[]>> = {
  throughput,
  'fan-out': fanOut,
  'cached-json': cachedJson,
  'guarded-fetch': guardedFetch,
  'idle-subscribers': idleSubscribers,
  'idle-components': idleComponents,
  'many-streams': manyStreams,
  'mount-cycles': mountCycles,
  relay,
}

const begin = performance.now()
const write = process.argv.includes('--write')
const wanted = process.argv.slice(2).filter((argument) => argument !== '--write')
if (write && wanted.length > 0) throw new Error('The README shows all of it or nothing: --write takes no names.')
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
if (write) writeReadme(rows)
const over = rows.filter(isOver).length
const seconds = Math.round((performance.now() - begin) / 1_000)
console.log(
  `\nNode ${process.versions.node}, ${seconds} s; medians. ${over ? `Over its limit: ${over}.` : 'Nothing is over its limit.'}`,
)
