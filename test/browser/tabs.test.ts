import { afterEach, describe, expect, test } from 'vitest'
import { closeBrowsers } from '../support/browser'
import { closeServers } from '../support/http-server'
import { startTabs, type Tab } from '../support/tabs'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

const rolesOf = (tabs: readonly Tab[]) => Promise.all(tabs.map((tab) => tab.role()))

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

test('a leader that crashes hands over: one connection, nothing lost, nothing doubled', async () => {
  const world = await startTabs()
  const tabs = [await world.openTab(), await world.openTab(), await world.openTab()]
  await world.isSettled(...tabs)
  world.append(100)
  for (const tab of tabs) await world.hasAll(tab)

  const [leader, ...others] = tabs as [Tab, Tab, Tab]
  expect(await leader.role()).toBe('leader')
  const writing = setInterval(() => world.append(2), 5)
  try {
    void leader.page.goto('chrome://crash').catch(() => {})
    await until(() => world.asked('/stream').length === 2, { what: 'a second connection' })
    await until(() => world.open === 1, { what: 'one connection' })
  } finally {
    clearInterval(writing)
  }
  world.append(10)
  for (const tab of others) await world.hasAll(tab)
  await until(async () => (await rolesOf(others)).sort().join() === 'follower,leader', 'one leader')
  for (const tab of others) expect((await tab.read()).alerts).toEqual([])
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
      await until(() => leaves.run('record.restored'), 'the page to be restored')
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

  test('says that it is offline goes on leading while its connection brings something', async () => {
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
    await until(async () => (await leader.read()).states.at(-1)?.pausedBy === 'offline', 'a pause')
    await emulate(false)
    world.append(10)
    for (const tab of [leader, other]) await world.hasAll(tab)
    await until(() => world.open === 1, 'one connection')
  })
})

describe('a leader that is alive but silent', () => {
  test('is replaced, and steps down', { timeout: 90_000 }, async () => {
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
    })
  })

  test('because its stream is quiet is left alone', { timeout: 90_000 }, async () => {
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
    await until(() => world.asked('/stream').length === 2 && world.open === 1, 'the hand-over')
    world.append(1)
    for (const tab of tabs.slice(1)) {
      // Not its count: the page's reducer is not idempotent, and the snapshot may have that event already.
      await until(async () => /"last":11\b/.test(JSON.stringify((await tab.read()).states.at(-1)?.data)), 'the state')
      await until(async () => (await tab.read()).alerts.length > 0, 'an alert')
      expect((await tab.read()).alerts.map(({ code }) => code)).toEqual(['gap'])
    }
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
    for (const name of names) expect(name).toMatch(/^millrace2 (stream|slot) [0-9a-z]+$/)
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
