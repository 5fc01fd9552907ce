import { afterEach, describe, expect, test } from 'vitest'
import { closeBrowsers } from '../support/browser'
import { closeServers } from '../support/http-server'
import { startTabs, type Tab } from '../support/tabs'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

const rolesOf = (tabs: readonly Tab[]) => Promise.all(tabs.map((tab) => tab.role()))

describe('8 tabs on one source', () => {
  test('have one connection, and every tab has every event once and in order', async () => {
    const world = await startTabs()
    const tabs: Tab[] = []
    for (let n = 0; n < 8; n += 1) tabs.push(await world.openTab())
    await world.isSettled(...tabs)
    expect((await rolesOf(tabs)).sort()).toEqual([...Array(7).fill('follower'), 'leader'])

    for (let n = 0; n < 20; n += 1) world.append(50)
    for (const tab of tabs) await world.hasAll(tab)
    expect(world.asked('/stream')).toHaveLength(1)
    expect(await tabs[7]!.run('fetch("/plain").then((answer) => answer.text())')).toBe('plain')
    expect(world.browser.errors).toEqual([])
    for (const tab of tabs) expect((await tab.read()).alerts).toEqual([])
  })

  test('hang the origin with an EventSource each, which shows that the server counts', async () => {
    const world = await startTabs()
    const tabs: Tab[] = []
    for (let n = 0; n < 6; n += 1) tabs.push(await world.openTab('?idle'))
    for (const tab of tabs) await tab.run('void (window.source = new EventSource("/stream"))')
    await until(() => world.open === 6, 'six connections')
    const answer = tabs[0]!.run('fetch("/plain").then(() => "answered")')
    const silence = tabs[1]!.run('new Promise((resolve) => setTimeout(resolve, 1_000, "nothing"))')
    expect(await Promise.race([answer, silence])).toBe('nothing')
    await tabs[0]!.run('source.close()')
    expect(await answer).toBe('answered')
  })

  test('show the state to a tab that comes late, without a request of its own', async () => {
    const world = await startTabs()
    const first = await world.openTab('?snapshot')
    await world.isSettled(first)
    world.append(10)
    await world.hasAll(first)
    const late = await world.openTab('?snapshot')
    await world.isSettled(first, late)
    expect((await late.read()).states.at(-1)).toMatchObject({
      data: { count: 10, last: 10 },
      isStale: false,
      role: 'follower',
    })
    expect(world.asked('/snapshot')).toHaveLength(1)
    expect(world.asked('/stream')).toHaveLength(1)
    world.append(5)
    await world.hasAll(late, 11)
    expect((await late.read()).states.at(-1)?.data).toEqual({ count: 15, last: 15 })
  })
})

describe('what a leader relays', () => {
  /** Subscribes to a stream whose chunks the test cuts, in the page: `write(count)` is one chunk of so many events. */
  const LEAD = `
    window.written = 0
    const body = new ReadableStream({
      start(controller) {
        window.write = (count) => {
          let text = ''
          for (let n = 0; n < count; n += 1) text += 'data: {"n":' + ++written + '}\\n\\n'
          controller.enqueue(new TextEncoder().encode(text))
        }
      },
    })
    const fetch = async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    Millrace.createClient({ environment: 'test', fetch }).subscribe('/cut', () => {})
  `
  /** Follows, and listens on the channel as any script of the origin can: it has the name of the lock. */
  const FOLLOW = `(async () => {
    window.heard = []
    window.posted = []
    const follower = Millrace.createClient({ environment: 'test' })
    const subscription = follower.subscribe('/cut', ({ data }) => heard.push(data.n))
    window.role = () => subscription.state.role
    const { held } = await navigator.locks.query()
    const { name } = held.find(({ name }) => name.includes(' stream '))
    window.overheard = new BroadcastChannel(name)
    overheard.onmessage = ({ data }) => data.type === 'batch' && posted.push(data.events.length)
  })()`

  test('is one message for each chunk of the network, however many events it has', async () => {
    const world = await startTabs()
    const [leader, follower] = [await world.openTab('?idle'), await world.openTab('?idle')]
    await leader.run(`(() => {${LEAD}})()`)
    await until(() =>
      leader.run('typeof write === "function" && navigator.locks.query().then(({ held }) => held.length > 0)'),
    )
    await follower.run(FOLLOW)
    await until(() => follower.run('role() === "follower"'), 'a follower')
    const chunks = [1, 100, 1, 7, 1_000]
    for (const count of chunks) await leader.run(`write(${count})`)
    await until(() => follower.run('heard.length === 1_109'), 'all events')
    await until(async () => (await follower.run<number[]>('posted')).join(), {
      accept: (posted) => posted === chunks.join(),
      what: 'one message for each chunk',
    })
  })
})

describe('a leader that', () => {
  const departures: [
    name: string,
    leave: (leader: Tab, world: Awaited<ReturnType<typeof startTabs>>) => Promise<unknown>,
  ][] = [
    ['closes its tab', ({ page }) => page.close()],
    ['crashes', async ({ page }) => void page.goto('chrome://crash').catch(() => {})],
    ['navigates away', ({ page }, { server }) => page.goto(server.url('/away'))],
    ['reloads', ({ page }) => page.reload()],
    ['switches off', ({ run }) => run('client.disable()')],
    ['unsubscribes', ({ run }) => run('subscription.unsubscribe()')],
    ['closes its client', ({ run }) => run('client.close()')],
  ]

  test.each(departures)('%s hands over: one connection, nothing lost, nothing doubled', async (_, leave) => {
    const world = await startTabs()
    const tabs = [await world.openTab(), await world.openTab(), await world.openTab()]
    await world.isSettled(...tabs)
    world.append(100)
    for (const tab of tabs) await world.hasAll(tab)

    const [leader, ...others] = tabs as [Tab, Tab, Tab]
    expect(await leader.role()).toBe('leader')
    const writing = setInterval(() => world.append(2), 5)
    try {
      await leave(leader, world)
      await until(() => world.asked('/stream').length === 2, { what: 'a second connection', within: 5_000 })
      await until(() => world.open === 1, { what: 'one connection', within: 5_000 })
    } finally {
      clearInterval(writing)
    }
    world.append(10)
    for (const tab of others) await world.hasAll(tab)
    await until(async () => (await rolesOf(others)).sort().join() === 'follower,leader', 'one leader')
    for (const tab of others) expect((await tab.read()).alerts).toEqual([])
  })
})

describe('a tab that', () => {
  test.each(['leads', 'follows'])(
    '%s and goes into the back/forward cache and back misses nothing, and can be restored',
    async (part) => {
      const world = await startTabs({ bfcache: true })
      const tabs = [await world.openTab(), await world.openTab()] as [Tab, Tab]
      await world.isSettled(...tabs)
      // A poll besides, so that all is open that a page can have of ours.
      for (const tab of tabs) await tab.run('void poll()')
      for (const tab of tabs) await until(async () => (await tab.read()).polls.at(-1)?.data !== undefined, 'an answer')
      world.append(5)
      for (const tab of tabs) await world.hasAll(tab)
      const [leaves, stays] = part === 'leads' ? tabs : ([...tabs].reverse() as [Tab, Tab])
      expect(await leaves.role()).toBe(part === 'leads' ? 'leader' : 'follower')
      await leaves.run('addEventListener("pageshow", ({ persisted }) => { record.restored = persisted })')
      await leaves.page.goto(world.server.url('/away'))
      await until(async () => world.open === 1 && (await stays.role()) === 'leader', 'one that leads')
      world.append(30)
      await world.hasAll(stays)

      await leaves.page.goBack({ waitUntil: 'commit' })
      expect(await leaves.run('performance.getEntriesByType("navigation")[0].notRestoredReasons ?? null')).toBeNull()
      expect(await leaves.run('record.restored')).toBe(true)
      world.append(3)
      for (const tab of tabs) await world.hasAll(tab)
      expect(world.open).toBe(1)
      expect(await rolesOf([leaves, stays])).toEqual(['follower', 'leader'])
    },
  )

  test('is busy for 5 s keeps its connection, and everybody has everything in the end', async () => {
    const world = await startTabs()
    const leader = await world.openTab()
    const other = await world.openTab()
    await world.isSettled(leader, other)
    await leader.run('void setTimeout(() => { const end = Date.now() + 5_000; while (Date.now() < end); })')
    for (let n = 0; n < 50; n += 1) world.append(2)
    await world.hasAll(other)
    await world.hasAll(leader)
    expect(world.asked('/stream')).toHaveLength(1)
  })

  test('loses the network alone leaves the lead to another', async () => {
    const world = await startTabs()
    const leader = await world.openTab()
    const other = await world.openTab()
    await world.isSettled(leader, other)
    world.append(5)
    for (const tab of [leader, other]) await world.hasAll(tab)
    const session = await leader.page.context().newCDPSession(leader.page)
    const emulate = (offline: boolean) =>
      session.send('Network.emulateNetworkConditions', {
        offline,
        latency: 0,
        downloadThroughput: -1,
        uploadThroughput: -1,
      })
    await emulate(true)
    await until(async () => (await other.role()) === 'leader', 'the hand-over')
    world.append(10)
    await world.hasAll(other)
    expect((await leader.read()).states.at(-1)).toMatchObject({ status: 'paused', pausedBy: 'offline' })
    await emulate(false)
    await world.hasAll(leader)
    await until(() => world.open === 1, 'one connection')
  })
})

describe('a leader that is alive but silent', () => {
  test('is replaced, and steps down', { timeout: 60_000 }, async () => {
    const world = await startTabs()
    const leader = await world.openTab()
    const other = await world.openTab()
    await world.isSettled(leader, other)
    world.append(5)
    for (const tab of [leader, other]) await world.hasAll(tab)
    // Nothing that it posts arrives any more, as if its channel had died.
    await leader.run('void (BroadcastChannel.prototype.postMessage = () => {})')
    world.append(10)
    await world.hasAll(leader)
    await until(async () => (await other.role()) === 'leader', { what: 'the other to lead', within: 30_000 })
    await world.hasAll(other)
    await until(async () => (await leader.role()) === 'follower' && world.open === 1, {
      what: 'one leader',
      within: 5_000,
    })
  })

  test('because its stream is quiet is left alone', { timeout: 40_000 }, async () => {
    const world = await startTabs()
    const tabs = [await world.openTab(), await world.openTab()]
    await world.isSettled(...tabs)
    await new Promise((resolve) => setTimeout(resolve, 20_000))
    expect(world.asked('/stream')).toHaveLength(1)
    expect(await rolesOf(tabs)).toEqual(['leader', 'follower'])
  })
})

describe('polls', () => {
  test('of 8 tabs are those of one', async () => {
    const world = await startTabs()
    const tabs: Tab[] = []
    for (let n = 0; n < 8; n += 1) tabs.push(await world.openTab('?poll'))
    await until(async () => (await rolesOf(tabs)).filter((role) => role === 'follower').length === 7, 'seven followers')
    const before = world.asked('/poll').length
    const start = Date.now()
    world.append(7)
    for (const tab of tabs)
      await until(
        async () =>
          (await tab.read()).polls.at(-1)?.data !== undefined &&
          JSON.stringify((await tab.read()).polls.at(-1)?.data) === '{"n":7}',
        'the answer',
      )
    await until(() => world.asked('/poll').length >= before + 4, 'four polls')
    expect(world.asked('/poll').length - before).toBeLessThanOrEqual(Math.ceil((Date.now() - start) / 300) + 1)
  })

  test('go on in another tab when the one that polls closes', async () => {
    const world = await startTabs()
    const [first, second] = [await world.openTab('?poll'), await world.openTab('?poll')]
    await until(async () => (await second.role()) === 'follower', 'a follower')
    await first.page.close()
    await until(async () => (await second.role()) === 'leader', 'a leader')
    world.append(3)
    await until(async () => JSON.stringify((await second.read()).polls.at(-1)?.data) === '{"n":3}', 'the answer')
  })

  test('are asked at once for a follower that refreshes', async () => {
    const world = await startTabs()
    const slow = encodeURIComponent('{"interval":60000}')
    const [first, second] = [await world.openTab(`?poll&channel=${slow}`), await world.openTab(`?poll&channel=${slow}`)]
    await until(async () => (await second.read()).polls.at(-1)?.data !== undefined, 'a first answer')
    world.append(9)
    await second.run('client.refresh(Millrace.defineChannel({ key: "poll", snapshot: "/poll", interval: 60_000 }))')
    for (const tab of [first, second])
      await until(async () => JSON.stringify((await tab.read()).polls.at(-1)?.data) === '{"n":9}', 'the answer')
    expect(world.asked('/poll')).toHaveLength(2)
  })
})

describe('all tabs together', () => {
  test('keep to four streams of an origin, so that it still answers', async () => {
    const world = await startTabs()
    const tabs: Tab[] = []
    for (let n = 0; n < 6; n += 1) {
      const tab = await world.openTab('?idle')
      await tab.run(`void listen('?${n}')`)
      tabs.push(tab)
    }
    await until(() => world.open === 4, 'four streams')
    await until(async () => {
      const states = await Promise.all(tabs.map(async (tab) => (await tab.read()).states.at(-1)))
      return states.filter((state) => state?.status === 'paused' && state.pausedBy === 'stream-limit').length === 2
    }, 'two that wait')
    expect(world.mostOpen).toBe(4)
    expect(await tabs[5]!.run('fetch("/plain").then((answer) => answer.text())')).toBe('plain')
    await tabs[0]!.page.close()
    await tabs[1]!.page.close()
    for (const tab of tabs.slice(2))
      await until(async () => (await tab.read()).states.at(-1)?.status === 'live', 'a free slot')
  })

  test('of two identities share nothing', async () => {
    const world = await startTabs()
    const as = (identity: string) => `?options=${encodeURIComponent(JSON.stringify({ identity }))}`
    const tabs = [await world.openTab(as('ada')), await world.openTab(as('bob')), await world.openTab(as('ada'))]
    await until(() => world.open === 2, 'two streams')
    await until(async () => (await rolesOf(tabs)).join() === 'leader,leader,follower', 'the roles')
  })

  test('pause and forget when one of them signs out', async () => {
    const world = await startTabs()
    const ada = `?options=${encodeURIComponent('{"identity":"ada"}')}`
    const [first, second] = [await world.openTab(ada), await world.openTab(ada)]
    await world.isSettled(first, second)
    world.append(3)
    await world.hasAll(second)
    await first.run('client.setIdentity(null)')
    await until(async () => (await second.read()).states.at(-1)?.pausedBy === 'identity', 'the pause')
    expect((await second.read()).states.at(-1)).toMatchObject({ status: 'paused', data: { count: 0, last: 0 } })
    expect(await second.run('client.stats().tabs')).toEqual({ shared: true, leading: 0, following: 0 })
    await second.run('client.setIdentity(null)')
    await until(async () => (await second.read()).states.at(-1)?.status === 'live', 'a new start')
    await until(() => world.open === 1, 'one connection')
  })

  test('do not share what is asked with credentials of its own, unless they say who they are', async () => {
    const world = await startTabs()
    const options = encodeURIComponent('{"headers":{"Authorization":"Bearer secret"}}')
    const tabs = [await world.openTab(`?options=${options}`), await world.openTab(`?options=${options}`)]
    await until(() => world.open === 2, 'two streams')
    await until(async () => (await rolesOf(tabs)).join() === 'solo,solo', 'the roles')
    const { alerts } = await tabs[0]!.read()
    expect(alerts.map(({ code }) => code)).toEqual(['tab-protocol'])
    expect(JSON.stringify(alerts)).not.toContain('secret')
  })

  test('hear of what one of them invalidates', async () => {
    const world = await startTabs()
    const [first, second] = [await world.openTab('?snapshot'), await world.openTab('?snapshot')]
    await world.isSettled(first, second)
    const before = world.asked('/snapshot').length
    await second.run('client.invalidate(["stream"])')
    await until(() => world.asked('/snapshot').length > before, 'a request')
    const cached = () => first.run<{ n: number }>('client.json("/poll")')
    expect(await cached()).toEqual({ n: 0 })
    world.append(1)
    expect(await cached()).toEqual({ n: 0 })
    await second.run('client.invalidate("/poll")')
    await until(async () => (await cached()).n === 1, 'a fresh answer')
  })

  test('learn what one of them was answered, the newest of it', async () => {
    const world = await startTabs()
    const [first, second] = [await world.openTab('?snapshot'), await world.openTab('?snapshot')]
    await world.isSettled(first, second)
    const ask = (tab: Tab) => tab.run<{ n: number }>('client.json("/poll", undefined, { ttl: 60_000 })')
    expect(await ask(first)).toEqual({ n: 0 })
    await until(
      async () => (await second.run<number>('client.stats().cache.entries')) > 0,
      'the answer in the other tab',
    )
    world.append(1)
    expect(await ask(second)).toEqual({ n: 0 })
    expect(world.asked('/poll')).toHaveLength(1)
  })

  test('get what a server without ids cannot resume from the snapshot, and are told of the gap', async () => {
    const world = await startTabs({ ids: false })
    const tabs = [await world.openTab('?snapshot'), await world.openTab('?snapshot'), await world.openTab('?snapshot')]
    await world.isSettled(...tabs)
    world.append(10)
    for (const tab of tabs) await world.hasAll(tab)
    await tabs[0]!.page.close()
    const left = tabs.slice(1)
    await until(() => world.asked('/stream').length === 2 && world.open === 1, 'the hand-over')
    world.append(1)
    for (const tab of left)
      await until(
        async () => JSON.stringify((await tab.read()).states.at(-1)?.data) === JSON.stringify({ count: 11, last: 11 }),
        'the state',
      )
  })

  test('serve themselves with `share: "page"`, and where sharing is switched off', async () => {
    const world = await startTabs()
    const page = encodeURIComponent('{"share":"page"}')
    const off = encodeURIComponent('{"flags":{"tabs":false}}')
    const tabs = [
      await world.openTab(`?channel=${page}`),
      await world.openTab(`?options=${off}`),
      await world.openTab(),
    ]
    await until(() => world.open === 3, 'three streams')
    await until(async () => (await rolesOf(tabs)).join() === 'solo,solo,leader', 'the roles')
    expect(await tabs[1]!.run('client.stats().tabs.shared')).toBe(false)
  })

  test('leave no lock and no channel behind', async () => {
    const world = await startTabs()
    const [first, second] = [await world.openTab(), await world.openTab()]
    await world.isSettled(first, second)
    for (const tab of [first, second]) await tab.run('subscription.unsubscribe()')
    await until(() => world.open === 0, 'no stream')
    const locks = 'navigator.locks.query().then(({ held, pending }) => [...held, ...pending].map(({ name }) => name))'
    await until(async () => (await first.run<string[]>(locks)).length === 0, 'no lock')
    expect(await first.run('client.stats().timers')).toEqual([])
  })

  test('show no URL and no identity in the names of locks', async () => {
    const world = await startTabs()
    const tab = await world.openTab(`?options=${encodeURIComponent('{"identity":"ada@example.com"}')}`)
    await world.isSettled(tab)
    const names = await tab.run<string[]>('navigator.locks.query().then(({ held }) => held.map(({ name }) => name))')
    expect(names).toHaveLength(2)
    for (const name of names) expect(name).toMatch(/^millrace1 (stream|slot) [0-9a-z]+$/)
  })
})

describe('a worker', () => {
  test.each(['Worker', 'SharedWorker'])('shares a source with its page as two tabs do: %s', async (kind) => {
    const world = await startTabs()
    const tab = await world.openTab()
    await world.isSettled(tab)
    await tab.run(`(async () => {
      const code = 'importScripts("' + location.origin + '/millrace.global.js");' +
        'const send = (port) => { const client = Millrace.createClient({ environment: "test", baseUrl: "' + location.origin + '" });' +
        'client.subscribe(Millrace.defineChannel({ key: ["stream", ""], stream: "/stream" }), { next: ({ data }) => port.postMessage(data.n), state: ({ role }) => port.postMessage(role) }) };' +
        ('${kind}' === 'Worker' ? 'send(self)' : 'onconnect = ({ ports: [port] }) => send(port)')
      window.worker = new ${kind}(URL.createObjectURL(new Blob([code])))
      window.heard = []
      const port = worker.port ?? worker
      port.onmessage = ({ data }) => heard.push(data)
    })()`)
    await until(async () => (await tab.run<unknown[]>('heard')).includes('follower'), 'a follower in the worker')
    world.append(5)
    await until(async () => (await tab.run<unknown[]>('heard')).includes(5), 'the events')
    const heard = await tab.run<unknown[]>('heard')
    expect(heard.filter((each) => typeof each === 'number')).toEqual([1, 2, 3, 4, 5])
    expect(world.asked('/stream')).toHaveLength(1)
  })
})
