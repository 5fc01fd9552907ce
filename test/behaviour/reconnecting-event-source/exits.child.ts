// Run by closing.test.ts as a process of its own: what it opens and closes must not keep it alive.
import { ReconnectingEventSource } from 'millrace'

// Whatever becomes of the test, this process ends.
setTimeout(() => process.exit(1), 30_000).unref()

const [origin = '', mode] = process.argv.slice(2)

const seen = (path: string, ...types: string[]) =>
  new Promise<ReconnectingEventSource>((resolve) => {
    // A minute to the next attempt: a timer that is left behind would show.
    const source = new ReconnectingEventSource(`${origin}${path}`, {
      backoff: { base: 60_000, cap: 60_000 },
      idleTimeout: 120_000,
    })
    for (const type of types) source.addEventListener(type, () => resolve(source))
    if (types.length === 0) setTimeout(resolve, 50, source)
  })

const sources = await Promise.all([
  seen('/stream', 'message'),
  seen('/down', 'error'),
  seen('/gone', 'error'),
  seen('/done', 'error'),
  seen('/hangs'),
])
if (mode === 'close') for (const source of sources) source.close()
console.log('all seen')
