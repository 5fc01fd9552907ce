import type { Socket } from 'node:net'
import { resolve } from 'node:path'
import type { Page } from 'playwright-core'
import { servePages, startBrowser } from './browser'
import { type RecordedRequest, startStream } from './http-server'
import { until } from './until'

/** What each tab's own script leaves to be read from outside. */
export interface TabRecord {
  ids: number[]
  states: { status: string; role?: string; pausedBy?: string; data?: unknown; isStale: boolean }[]
  polls: { status: string; role?: string; pausedBy?: string; data?: unknown }[]
  alerts: { code: string; message: string }[]
}

export interface Tab<P = Page> {
  readonly page: P
  read(): Promise<TabRecord>
  /** Runs in the tab, where `client`, `Millrace`, `record` and `subscription` are. */
  run<T>(code: string): Promise<T>
  role(): Promise<string | undefined>
}

const SCRIPT = `
  const query = new URLSearchParams(location.search)
  window.errors = []
  addEventListener('error', ({ message }) => errors.push(message))
  addEventListener('unhandledrejection', ({ reason }) => errors.push('unhandled: ' + reason))
  window.record = { ids: [], states: [], polls: [], alerts: [] }
  window.client = Millrace.createClient({
    environment: 'test', backoff: { base: 50, cap: 200 }, ...JSON.parse(query.get('options') ?? '{}')
  })
  client.on('alert', ({ code, message }) => record.alerts.push({ code, message }))
  const told = (list) => ({ status, role, pausedBy, data, isStale }) => {
    list.push({ status, role, pausedBy, data, isStale })
    report()
  }
  // A tab that is not driven from outside tells its server what can be read of the others.
  let reports = 0
  let isReporting = !query.has('name')
  const report = () => {
    if (isReporting) return
    isReporting = true
    queueMicrotask(() => {
      isReporting = false
      const body = { ...record, states: record.states.slice(-1), at: ++reports }
      fetch('/told?' + query.get('name'), { method: 'POST', body: JSON.stringify(body) })
    })
  }
  window.listen = (name = '') => client.subscribe(
    Millrace.defineChannel({
      key: ['stream', name],
      stream: '/stream' + name,
      ...(query.has('snapshot') && { snapshot: '/snapshot' }),
      initial: { count: 0, last: 0 },
      reduce: ({ count }, { data }) => ({ count: count + 1, last: data.n }),
      ...JSON.parse(query.get('channel') ?? '{}'),
    }),
    { next: ({ data }) => { record.ids.push(data.n); report() }, state: told(record.states) },
  )
  window.poll = (interval = 300) =>
    client.subscribe(Millrace.defineChannel({ key: 'poll', snapshot: '/poll', interval, ...JSON.parse(query.get('channel') ?? '{}') }), { state: told(record.polls) })
  if (!query.has('idle')) window.subscription = query.has('poll') ? poll() : listen()
`

const PAGE =
  '<!doctype html><link rel="icon" href="/icon"><script src="/millrace.global.js"></script><script src="/script.js"></script>'

/** What can be asked of any tab. */
export type ReadableTab = Pick<Tab, 'read'>

/** A server that counts: a journal at `/stream` that replays by `Last-Event-ID`, `/snapshot`, `/poll`. */
export async function serveTabs({
  ids = true,
  /** Each stream begins with a comment: Firefox tells of no answer before its first byte. */
  greets = false,
  pages = {} as Readonly<Record<string, string>>,
} = {}) {
  const streams = new Map<(text: string) => void, string>()
  const sockets = new Set<Socket>()
  let refusal: { status: number; headers: Record<string, string> } | undefined
  let last = 0
  let mostOpen = 0
  let overSince: number | undefined
  let longestOver = 0
  let oneSince = 0
  /** What tabs have told that are not driven from outside. */
  const told = new Map<string, TabRecord & { at: number }>()
  const count = () => {
    mostOpen = Math.max(mostOpen, streams.size)
    const now = performance.now()
    if (overSince !== undefined) longestOver = Math.max(longestOver, now - overSince)
    overSince = streams.size > 1 ? (overSince ?? now) : undefined
  }
  const changed = () => {
    count()
    if (streams.size === 1) oneSince = performance.now()
  }
  const server = await servePages(
    {
      '/': PAGE,
      '/away': '<!doctype html><link rel="icon" href="/icon">away',
      '/script.js': SCRIPT,
      '/icon': '',
      ...pages,
    },
    {
      folder: resolve('dist'),
      handler({ url, headers, body }, response) {
        const json = { 'content-type': 'application/json' }
        if (url === '/poll') return response.writeHead(200, json).end(JSON.stringify({ n: last }))
        if (url === '/plain') return response.writeHead(200).end('plain')
        if (url === '/snapshot')
          return response
            .writeHead(200, { ...json, ...(ids && { 'last-event-id': `${last}` }) })
            .end(JSON.stringify({ count: last, last }))
        if (url.startsWith('/told?')) {
          const name = url.slice('/told?'.length)
          const record = JSON.parse(body) as TabRecord & { at: number }
          // They may come in another order than they were sent in.
          if (record.at > (told.get(name)?.at ?? 0)) told.set(name, record)
          return response.writeHead(204).end()
        }
        if (!url.startsWith('/stream')) return response.writeHead(404).end()
        if (refusal) return response.writeHead(refusal.status, refusal.headers).end()
        startStream(response)
        if (greets) response.write(':\n')
        const socket = response.socket!
        sockets.add(socket)
        const write = (text: string) => response.write(text)
        streams.set(write, url)
        changed()
        response.once('close', () => {
          streams.delete(write)
          changed()
          sockets.delete(socket)
        })
        const known = headers['last-event-id']
        if (known !== undefined) for (let n = Number(known) + 1; n <= last; n += 1) write(frame(n))
      },
    },
  )
  const frame = (n: number) => `${ids ? `id: ${n}\n` : ''}data: {"n":${n}}\n\n`

  return {
    server,
    get open() {
      return streams.size
    },
    get mostOpen() {
      return mostOpen
    },
    get last() {
      return last
    },
    asked: (path: string): RecordedRequest[] => server.requests.filter(({ url }) => url === path),
    append(count = 1) {
      for (let i = 0; i < count; i += 1) {
        last += 1
        for (const write of streams.keys()) write(frame(last))
      }
      return last
    },
    /** `performance.now()` when there was last one after there had been none, or more. */
    get oneSince() {
      return oneSince
    },
    /** Resets the connection of every stream. */
    drop() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    /** Streams are answered so from now on. */
    refuse(status: number, headers: Record<string, string> = {}) {
      refusal = { status, headers }
    },
    /** Streams are let in again. */
    accept() {
      refusal = undefined
    },
    /** The most ms on end that there was more than one. */
    get longestOver() {
      count()
      return longestOver
    },
    /** The tab whose query has this `name`. */
    told(name: string): Pick<Tab, 'read' | 'role'> {
      const read = async () => told.get(name) ?? { ids: [], states: [], polls: [], alerts: [] }
      return { read, role: async () => (await read()).states.at(-1)?.role }
    },
    async isSettled(...tabs: ReadableTab[]) {
      await until(
        async () =>
          (await Promise.all(tabs.map(({ read }) => read()))).every(({ states }) => states.at(-1)?.status === 'live'),
        { what: 'live in every tab', within: 20_000 },
      )
      await until(() => streams.size === 1, 'one connection')
    },
    /** Fails unless every tab has every event from `first` on, each once and in order. */
    async hasAll(tab: ReadableTab, first = 1): Promise<number[]> {
      const wanted = Array.from({ length: last - first + 1 }, (_, n) => n + first)
      await until(async () => (await tab.read()).ids.at(-1) === last, `event ${last}`)
      const { ids: got } = await tab.read()
      if (got.join() !== wanted.join()) throw new Error(`Expected ${first}..${last}, each once, got ${compact(got)}`)
      return got
    },
  }
}

/** That server, and a browser. */
export async function startTabs(
  { bfcache = false, args = [] as readonly string[], ...served } = {} as {
    bfcache?: boolean
    ids?: boolean
    args?: readonly string[]
    pages?: Readonly<Record<string, string>>
  },
) {
  const world = await serveTabs(served)
  const browser = await startBrowser({ bfcache, args })
  return Object.assign(world, {
    browser,
    tabOf,
    openTab: async (query = ''): Promise<Tab> => tabOf(await browser.openPage(world.server.url(`/${query}`))),
  })
}

/** A page of any browser that can evaluate. */
export function tabOf<P extends { evaluate(expression: string): Promise<unknown> }>(page: P): Tab<P> {
  const read = () => page.evaluate('record') as Promise<TabRecord>
  return {
    page,
    read,
    run: (code) => page.evaluate(code) as never,
    role: async () => {
      const { states, polls } = await read()
      return (states.at(-1) ?? polls.at(-1))?.role
    },
  }
}

/** Runs of numbers as `from-to`. */
function compact(ids: readonly number[]): string {
  const runs: [number, number][] = []
  for (const id of ids) {
    const run = runs.at(-1)
    if (run && run[1] === id - 1) run[1] = id
    else runs.push([id, id])
  }
  return runs.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join(', ')
}
