import { type Channel, defineChannel, type StreamEvent } from 'millrace'
import { useChannel } from 'millrace/react'
import {
  createElement,
  lazy,
  type ReactNode,
  Suspense,
  startTransition,
  useLayoutEffect,
  useState,
  version,
} from 'react'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, type Feed, held, json, startClient, startFeed, status } from '../channels/watch'
import { render, unmountAll } from './render'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

interface State {
  n: number
  name: string
}

/** Made anew at every call, with functions of its own, as in the body of a component. */
const channelOf = (feed: Feed, key: unknown = 'k'): Channel<State, StreamEvent> =>
  defineChannel({
    key: ['state', key],
    stream: feed.streamUrl,
    snapshot: feed.snapshotUrl,
    fromSnapshot: (body) => body as State,
    reduce: (state, { data }) => ({ ...state, ...data }),
  })

const startBoard = () => startFeed(json({ n: 0, name: 'ann' }))

/** One stream and one snapshot, and no more to come. */
async function expectOneOfEach(feed: Feed): Promise<void> {
  await until(() => feed.open === 1 && feed.snapshotRequests.length > 0)
  await later()
  expect(feed.streamRequests).toHaveLength(1)
  expect(feed.snapshotRequests).toHaveLength(1)
}

/** Past a frame and whatever React has put off. */
const later = () => new Promise((resolve) => setTimeout(resolve, 60))

function Show({ feed, id = 'k' }: { feed: Feed; id?: unknown }) {
  const { data, status } = useChannel(channelOf(feed, id))
  return (
    <p>
      {status} {data?.n} {data?.name}
      {';'}
    </p>
  )
}

test('the React of this project is the one that it says', ({ task }) => {
  expect(version).toMatch(task.file.projectName === 'react-18' ? /^18\./ : /^19\./)
})

describe('one connection and one request', () => {
  test('for any number of components, in StrictMode too', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const all = (
      <>
        {Array.from({ length: 50 }, (_, n) => (
          <Show key={n} feed={feed} />
        ))}
      </>
    )
    const page = render(all, client, { strict: true })
    expect(page.text).toBe('connecting  ;'.repeat(50))
    await until(() => page.text === 'live 0 ann;'.repeat(50))
    feed.write(block({ n: 1 }))
    await until(() => page.text === 'live 1 ann;'.repeat(50))
    await expectOneOfEach(feed)
    expect(client.stats().subscriptions.active).toBe(50)
  })

  test('over 1,000 renders with channels, options and callbacks made anew', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    let renders = 0
    const seen: unknown[] = []
    function Busy({ n }: { n: number }) {
      renders += 1
      const { data, refresh } = useChannel(channelOf(feed), {
        select: (state) => [state.n, n] as const,
        isEqual: (a, b) => a[0] === b[0] && a[1] === b[1],
        onEvent: ({ data }) => seen.push([data.n, n]),
        onError: () => {},
        interval: 5_000,
      })
      return createElement('p', { onClick: () => void refresh() }, data?.join())
    }
    const page = render(<Busy n={0} />, client, { strict: true })
    await until(() => page.text === '0,0')
    const { total } = client.stats().subscriptions
    // A commit of its own for each, effects included.
    for (let n = 1; n <= 1_000; n += 1) page.render(<Busy n={n} />)
    expect(page.text).toBe('0,1000')
    expect(renders).toBeGreaterThan(1_000)
    feed.write(block({ n: 7 }))
    await until(() => page.text === '7,1000')
    // The callback that was called is the latest.
    expect(seen.at(-1)).toEqual([7, 1_000])
    expect(client.stats().subscriptions).toMatchObject({ total, active: 2 })
    await expectOneOfEach(feed)
  })

  test('through keyed swaps, a route change and remounts', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const page = render(<Show key="a" feed={feed} />, client, { strict: true })
    await until(() => page.text === 'live 0 ann;')
    for (let n = 0; n < 20; n += 1) {
      page.render(<Show key={n} feed={feed} />)
      expect(page.text).toBe('live 0 ann;')
    }
    const Home = () => <Show feed={feed} />
    const About = () => (
      <main>
        <Show feed={feed} />
      </main>
    )
    for (let n = 0; n < 20; n += 1) {
      page.render(n % 2 ? <Home /> : <About />)
      expect(page.text).toBe('live 0 ann;')
    }
    // A route between two that show nothing: the grace holds the connection.
    page.render(null)
    await later()
    page.render(<Home />)
    expect(page.text).toBe('live 0 ann;')
    await expectOneOfEach(feed)
  })

  test('through Suspense: who has not mounted opens nothing, who waits is not closed', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    let arrive = () => {}
    const arrived = new Promise<{ default: () => ReactNode }>((resolve) => {
      arrive = () => resolve({ default: () => <Show feed={feed} /> })
    })
    const Late = lazy(() => arrived)
    const waiting = (
      <Suspense fallback="wait">
        <Show feed={feed} />
        <Late />
      </Suspense>
    )
    const page = render(waiting, client, { strict: true })
    await later()
    expect(page.text).toBe('wait')
    expect(feed.server.requests).toHaveLength(0)
    arrive()
    await until(() => page.text === 'live 0 ann;live 0 ann;')

    const Never = lazy(() => new Promise<{ default: () => ReactNode }>(() => {}))
    page.render(
      <Suspense fallback="wait">
        <Show feed={feed} />
        <Never />
      </Suspense>,
    )
    await later()
    expect(feed.open).toBe(1)
    await expectOneOfEach(feed)
  })

  test('through transitions from one channel to another and back, each opened once', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    let go = (_: string) => {}
    function Page() {
      const [id, setId] = useState('a')
      go = (next) => startTransition(() => setId(next))
      return (
        <>
          {id}: <Show feed={feed} id={id} />
        </>
      )
    }
    const page = render(<Page />, client, { strict: true })
    await until(() => page.text === 'a: live 0 ann;')
    for (let n = 0; n < 10; n += 1) {
      const id = n % 2 ? 'a' : 'b'
      go(id)
      await until(() => page.text === `${id}: live 0 ann;`)
    }
    // Two channels on one source: one stream; the second one's snapshot is asked when it comes.
    expect(feed.streamRequests).toHaveLength(1)
    expect(feed.snapshotRequests.length).toBeLessThanOrEqual(2)
  })
})

describe('a component renders only when what it reads has changed', () => {
  /** Renders `use` in a component of its own, and counts. */
  function counted(use: () => ReactNode): { Counted: () => ReactNode; readonly count: number } {
    let count = 0
    return {
      Counted: () => {
        count += 1
        return use()
      },
      get count() {
        return count
      },
    }
  }

  test('by field, by selection and by its own equality', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const channel = channelOf(feed)
    const names = counted(() => useChannel(channel, { select: ({ name }) => name }).data ?? null)
    const statuses = counted(() => useChannel(channel).status)
    const parity = counted(() => {
      const { data } = useChannel(channel, {
        select: ({ n }) => ({ odd: n % 2 === 1 }),
        isEqual: (a, b) => a.odd === b.odd,
      })
      return String(data?.odd)
    })
    const nothing = counted(() => {
      useChannel(channel)
      return null
    })
    const all = counted(() => {
      const { refresh, ...rest } = useChannel(channel)
      return JSON.stringify(rest.data?.n)
    })
    const parts = [names, statuses, parity, nothing, all]
    const page = render(
      parts.map(({ Counted }, n) => <Counted key={String(n)} />),
      client,
    )
    await until(() => page.text === 'annlivefalse0')
    await later()
    const before = parts.map(({ count }) => count)
    for (let n = 1; n <= 10; n += 1) {
      feed.write(block({ n: n * 2 }))
      await until(() => page.text === `annlivefalse${n * 2}`)
    }
    expect(parts.map(({ count }, index) => count - before[index]!)).toEqual([0, 0, 0, 0, 10])
    expect(nothing.count).toBe(1)

    feed.write(block({ n: 1, name: 'ben' }))
    await until(() => page.text === 'benlivetrue1')
    expect(parts.map(({ count }, index) => count - before[index]!)).toEqual([1, 0, 1, 0, 11])
  })

  test('also while a transition to another channel waits', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const never = new Promise<{ default: () => ReactNode }>(() => {})
    const Never = lazy(() => never)
    let committed = 0
    let go = () => {}
    function Name() {
      const [id, setId] = useState('a')
      go = () => startTransition(() => setId('b'))
      const { data } = useChannel(channelOf(feed, id), { select: ({ name }) => name, label: 'Name' })
      useLayoutEffect(() => {
        committed += 1
      })
      return (
        <>
          {data}
          {id === 'b' && <Never />}
        </>
      )
    }
    function Count() {
      return <>{useChannel(channelOf(feed, 'a'), { select: ({ n }) => n }).data}</>
    }
    const page = render(
      <Suspense fallback="wait">
        <Name />
        <Count />
      </Suspense>,
      client,
    )
    await until(() => page.text === 'ann0')
    await later()
    const before = committed
    go()
    for (let n = 1; n <= 10; n += 1) {
      feed.write(block({ n }))
      await until(() => page.text === `ann${n}`)
    }
    expect(committed).toBe(before)
    expect(client.stats().channels).toHaveLength(1)
  })

  test('keeps the result of a field that is read later up to date from then on', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const results: ReturnType<typeof useChannel<State, StreamEvent>>[] = []
    function Late() {
      const result = useChannel(channelOf(feed))
      results.push(result)
      return <>{result.status}</>
    }
    const page = render(<Late />, client)
    await until(() => page.text === 'live')
    await later()
    const { length } = results
    feed.write(block({ n: 1 }))
    await later()
    expect(results).toHaveLength(length)
    void results.at(-1)!.data
    feed.write(block({ n: 2 }))
    await until(() => results.at(-1)!.data?.n === 2)
    expect(results.length).toBe(length + 1)
  })

  test('sees what its newest `select` makes of it at once', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    function Field({ name }: { name: keyof State }) {
      return <>{useChannel(channelOf(feed), { select: (state) => state[name] }).data}</>
    }
    const page = render(<Field name="n" />, client)
    await until(() => page.text === '0')
    page.render(<Field name="name" />)
    expect(page.text).toBe('ann')
  })

  test('renders once a frame, however many events come', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const all = counted(() => String(useChannel(channelOf(feed)).data?.n))
    const page = render(<all.Counted />, client)
    await until(() => page.text === '0')
    const before = all.count
    const begun = performance.now()
    let n = 0
    // A chunk of its own for each, and several in a turn of a timer, which may be late.
    while (performance.now() < begun + 500) {
      for (let chunk = 0; chunk < 4; chunk += 1) {
        feed.write(block({ n: ++n }))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await until(() => page.text === String(n))
    const frames = (performance.now() - begun) / 16
    expect(n).toBeGreaterThan(1.5 * frames)
    expect(all.count - before).toBeLessThanOrEqual(frames + 2)
  })

  test('shows one state in all components of one commit', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const torn: string[] = []
    function Value() {
      const { data } = useChannel(channelOf(feed))
      const until = performance.now() + 1
      while (performance.now() < until);
      return <>{data?.n ?? '-'},</>
    }
    let spin = () => {}
    function Many() {
      const [n, setN] = useState(0)
      spin = () => startTransition(() => setN(n + 1))
      return (
        <>
          {Array.from({ length: 20 }, (_, index) => (
            <Value key={index + (n % 2) * 100} />
          ))}
        </>
      )
    }
    const page = render(<Many />, client)
    const check = () => {
      const values = new Set(page.text.split(',').filter(Boolean))
      if (values.size > 1) torn.push(page.text)
    }
    await until(() => page.text.startsWith('0'))
    for (let n = 1; n <= 30; n += 1) {
      spin()
      feed.write(block({ n }))
      await new Promise((resolve) => setTimeout(resolve, 5))
      check()
    }
    await until(() => page.text === '30,'.repeat(20))
    expect(torn).toEqual([])
  })
})

describe('a channel that is not wanted', () => {
  test.each([null, undefined, false] as const)('is idle and opens nothing: %s', async (none) => {
    const { client } = startClient()
    function None() {
      const { status, data, error, isLive, isStale, attempt, refresh } = useChannel<State, StreamEvent>(none)
      return (
        <button type="button" onClick={refresh}>
          {JSON.stringify([status, data, error, isLive, isStale, attempt])}
        </button>
      )
    }
    const page = render(<None />, client)
    await later()
    expect(page.text).toBe('["idle",null,null,false,false,0]')
    expect(client.stats()).toMatchObject({ channels: [], subscriptions: { total: 0 } })
  })

  test('comes and goes with `enabled`, and keeps what it has shown', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    function Switch({ on }: { on: boolean }) {
      const { data, status, isStale } = useChannel(channelOf(feed), { enabled: on })
      return <>{`${status} ${data?.n} ${isStale}`}</>
    }
    const page = render(<Switch on={false} />, client)
    await later()
    expect(page.text).toBe('idle undefined false')
    expect(feed.server.requests).toHaveLength(0)
    page.render(<Switch on />)
    await until(() => page.text === 'live 0 false')
    page.render(<Switch on={false} />)
    expect(page.text).toBe('idle 0 true')
    await until(() => feed.open === 0)
    expect(page.text).toBe('idle 0 true')
  })

  test('can be asked for by hand', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    let refresh = async () => {}
    function Lazy() {
      const result = useChannel(channelOf(feed), { enabled: false })
      refresh = result.refresh
      return <>{result.data?.name ?? 'nobody'}</>
    }
    const page = render(<Lazy />, client)
    expect(page.text).toBe('nobody')
    await refresh()
    await until(() => page.text === 'ann')
    expect(feed.streamRequests).toHaveLength(0)
  })
})

describe('options', () => {
  test('a new interval moves the subscription: no reconnect, no request of its own', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const Poll = ({ interval }: { interval: number }) => (
      <>
        {
          useChannel(defineChannel<State>({ key: 'p', snapshot: feed.snapshotUrl, interval: 60_000 }), { interval })
            .data?.n
        }
      </>
    )
    const page = render(<Poll interval={50_000} />, client, { strict: true })
    await until(() => page.text === '0')
    for (let n = 0; n < 20; n += 1) page.render(<Poll interval={40_000 + n} />)
    await later()
    expect(feed.snapshotRequests).toHaveLength(1)
    page.render(<Poll interval={200} />)
    await until(() => feed.snapshotRequests.length === 3)
  })

  test('every event reaches `onEvent` once, `onError` hears of the end, labels name the component', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const events: number[] = []
    const errors: string[] = []
    function Bell({ label }: { label?: string }) {
      useChannel(channelOf(feed), {
        label,
        onEvent: ({ data }) => events.push(data.n),
        onError: ({ code }) => errors.push(code),
      })
      return null
    }
    const page = render(<Bell />, client, { strict: true })
    await until(() => feed.open === 1 && client.getState(channelOf(feed)).status === 'live')
    for (let n = 1; n <= 100; n += 1) feed.write(block({ n }))
    await until(() => events.length >= 100)
    expect(events).toEqual(Array.from({ length: 100 }, (_, n) => n + 1))
    const labels = () => client.stats().channels[0]!.subscribers.map(({ label }) => label)
    expect(new Set(labels())).toEqual(new Set(['useChannel ["state","k"]']))
    page.render(<Bell label="Bell" />)
    expect(new Set(labels())).toEqual(new Set(['Bell']))
    feed.stream(status(404))
    feed.drop()
    await until(() => errors.length > 0)
    await later()
    expect(errors).toEqual(['http'])
  })
})

describe('unmounting', () => {
  test('while it connects leaves nothing', async () => {
    const feed = await startBoard()
    const wait = held(json({ n: 0, name: 'ann' }))
    feed.stream(wait.handler)
    const { client } = startClient()
    const page = render(<Show feed={feed} />, client, { strict: true })
    await until(() => wait.waiting > 0)
    page.unmount()
    await until(() => client.stats().channels.length === 0 && feed.server.openStreams === 0)
    expect(client.stats()).toMatchObject({ timers: [], subscriptions: { active: 0 } })
    expect(page.complaints).toEqual([])
  })

  test('in a callback, and after an error, leaves nothing', async () => {
    const feed = await startBoard()
    const { client } = startClient()
    const heard: unknown[] = []
    function Once() {
      useChannel(channelOf(feed), {
        onEvent: ({ data }) => {
          heard.push(data.n)
          page.unmount()
        },
      })
      return null
    }
    const page = render(<Once />, client)
    await until(() => client.getState(channelOf(feed)).status === 'live')
    feed.write(block({ n: 1 }) + block({ n: 2 }))
    await until(() => client.stats().channels.length === 0)
    expect(heard).toEqual([1])

    feed.stream(status(404))
    const failed = render(<Show feed={feed} id="other" />, client)
    await until(() => failed.text.startsWith('failed'))
    failed.unmount()
    await until(() => client.stats().channels.length === 0)
    expect(client.stats()).toMatchObject({ timers: [{ label: 'keep' }], subscriptions: { active: 0 } })
    expect([...page.complaints, ...failed.complaints]).toEqual([])
  })
})

test('one key with two targets is told of once, with both, and nothing is thrown while rendering', async () => {
  const feed = await startBoard()
  const { client, alerts } = startClient()
  function Other() {
    const { status } = useChannel(
      defineChannel<unknown>({ key: ['state', 'k'], snapshot: feed.server.url('/elsewhere') }),
    )
    return status
  }
  const page = render([<Show key="a" feed={feed} />, <Other key="b" />, <Other key="c" />], client)
  await until(() => page.text.endsWith('livelive'))
  expect(page.complaints).toEqual([])
  const told = alerts.filter(({ code }) => code === 'config')
  expect(told).toHaveLength(1)
  expect(told[0]!.message).toContain('/elsewhere')
})
