/**
 * What a platform lacks, or refuses by throwing, costs what is made of it and nothing else: not the import, not what is
 * asked, not a stream and what it resumes. Each platform is a realm of its own, as test runners and frames have them:
 * its promises, arrays and errors are not those of `fetch`.
 */
import '../support/dom'
import { runInContext } from 'node:vm'
import { act, createElement } from 'react'
import { createRoot } from 'react-dom/client'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createApp } from 'vue'
import { closeServers, startServer, startStream, type TestServer } from '../support/http-server'
import { createRealm, type Loaded, loadInto, type Realm } from '../support/realm'
import { until } from '../support/until'

let server: TestServer
let isBuilt = false
beforeEach(async ({ task }) => {
  isBuilt = task.file.projectName === 'dist'
  let streams = 0
  let polls = 0
  server = await startServer(({ url, headers }, response) => {
    if (url === '/json') return response.setHeader('content-type', 'application/json').end('{"city":"Zürich"}')
    if (url.startsWith('/poll')) return response.end(`${++polls}`)
    if (url !== '/stream') return response.writeHead(404).end()
    if (++streams > 1) return void startStream(response).write(`id: 2é\ndata: "after ${headers['last-event-id']}"\n\n`)
    startStream(response).write('id: 1é\ndata: "Zürich"\n\n', () => setTimeout(() => response.destroy(), 20))
  })
})
afterEach(closeServers)

const refused = (what = 'The operation is insecure.') => new DOMException(what, 'SecurityError')
const absent = (name: string) => (realm: Realm) => {
  // What is the language's own is in every realm from the start.
  realm[name] = undefined
  delete realm[name]
}
const throwing = (name: string) => (realm: Realm) =>
  void Object.defineProperty(realm, name, {
    configurable: true,
    get() {
      throw refused()
    },
  })

/** A lock is had at once: who is alone leads. */
const locks = { request: async (name: string, _: object, run: (lock: object) => unknown) => run({ name }) }

function page(change: (realm: Realm) => void = () => {}): Realm {
  return createRealm({ document, navigator: { locks, onLine: true, userAgent: 'test' } }, change)
}

/** All that is done with a client, and what comes of it. */
async function use({ createClient, defineChannel, react, vue, ReconnectingEventSource }: Loaded): Promise<object> {
  const client = createClient({ environment: 'test', baseUrl: server.url('/'), backoff: { base: 20, jitter: 'none' } })
  const told: unknown[] = []
  const polled: unknown[] = []
  const shown: { react?: unknown; vue?: unknown; source?: unknown } = {}
  const poll = (name: string) => defineChannel<number>({ key: name, snapshot: `/poll/${name}`, interval: 200 })
  client.subscribe(defineChannel({ key: 'stream', stream: '/stream' }), { next: ({ data }) => told.push(data) })
  client.subscribe(poll('plain'), { state: ({ data }) => data && polled.push(data) })

  const root = createRoot(document.createElement('div'))
  const InReact = () => {
    shown.react = react.useChannel(poll('react')).data
    return null
  }
  await act(() =>
    root.render(createElement(react.MillraceProvider, { client } as never, createElement(InReact as () => null))),
  )
  const app = createApp({
    setup() {
      const { data } = vue.useChannel(poll('vue'))
      return () => {
        shown.vue = data.value
        return null
      }
    },
  })
  app.use(vue.createMillrace({ client })).mount(document.createElement('div'))
  const source = new ReconnectingEventSource(server.url('/stream'))
  source.onmessage = ({ data }) => {
    shown.source = data
  }

  const json = await client.json('/json')
  const text = await (await client.fetch('/json')).text()
  const seen = () => ({
    json,
    text,
    told,
    polls: polled.length > 1,
    react: !!shown.react,
    vue: !!shown.vue,
    source: !!shown.source,
  })
  await until(() => told.length > 1 && polled.length > 1 && shown.react && shown.vue && shown.source, {
    within: 15_000,
  }).catch(() => {})
  await act(() => root.unmount())
  app.unmount()
  source.close()
  client.close()
  return seen()
}

const everything = {
  json: { city: 'Zürich' },
  text: '{"city":"Zürich"}',
  told: ['Zürich', 'after 1Ã©'],
  polls: true,
  react: true,
  vue: true,
  source: true,
}

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true })

const PIECES =
  'FinalizationRegistry WeakRef TextDecoder TextEncoder BroadcastChannel ReadableStream Request navigator performance structuredClone queueMicrotask reportError requestAnimationFrame PressureObserver DOMException AbortSignal'.split(
    ' ',
  )
const ways = { absent, throwing }

describe.each(Object.entries(ways))('a platform with one of them %s', (_, way) => {
  test.each(PIECES)('%s: does all the rest', async (name) => {
    expect(await use(loadInto(page(way(name)), isBuilt))).toEqual(everything)
  })
})

// https://github.com/preactjs/preact/issues/5109
// https://github.com/Agoric/SES/issues/136
test('a platform whose built-in objects are frozen does all, and its errors have their name', async () => {
  const realm = page()
  runInContext(
    'for (const of of [Object, Function, Array, Error, TypeError, Promise, Map, Set, Date, RegExp, String]) Object.freeze(of.prototype)',
    realm,
  )
  const loaded = loadInto(realm, isBuilt)
  expect(await use(loaded)).toEqual(everything)
  expect(new loaded.MillraceError('gap', 'lost')).toMatchObject({ name: 'MillraceError', code: 'gap', message: 'lost' })
})

// https://github.com/pouchdb/pouchdb/issues/1262
test('a page that has given every object a member of its own does all', async () => {
  const realm = page()
  runInContext('Object.prototype.each = function () {}', realm)
  expect(await use(loadInto(realm, isBuilt))).toEqual(everything)
})

test('a platform that knows nothing younger than ES2022 does all', async () => {
  const realm = page()
  runInContext(
    `for (const name of ['findLast', 'findLastIndex', 'toSorted', 'toReversed', 'toSpliced', 'with']) delete Array.prototype[name]
    for (const name of ['groupBy', 'withResolvers', 'try']) for (const of of [Object, Map, Promise]) delete of[name]
    for (const name of ['union', 'difference', 'intersection', 'isSubsetOf']) delete Set.prototype[name]`,
    realm,
  )
  expect(await use(loadInto(realm, isBuilt))).toEqual(everything)
})

// https://github.com/facebook/react-native/issues/45030
test('a platform whose URLs cannot be changed does all', async () => {
  const fixed = page((realm) => {
    const parts = ['hash', 'host', 'hostname', 'href', 'pathname', 'port', 'protocol', 'search']
    realm.URL = class extends URL {}
    for (const part of parts) {
      const { get } = Object.getOwnPropertyDescriptor(URL.prototype, part)!
      Object.defineProperty((realm.URL as typeof URL).prototype, part, { get: get!, set: undefined as never })
    }
  })
  expect(await use(loadInto(fixed, isBuilt))).toEqual(everything)
})
