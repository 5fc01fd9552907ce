import type { ReactNode } from 'react'
import { settledHeap } from '../support/heap'
import { memoryFetch, unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { bytes, type Row, rowOf } from './table'

const COMPONENTS = 10_000
const CHANNELS = 1_000

/** What a component does besides nothing. */
type Use = (n: number) => unknown

export const contenders: Contenders = {
  'no hook': async () => measured(() => undefined),

  async 'millrace useChannel'() {
    const { defineChannel } = await import('millrace')
    const { MillraceProvider, useChannel } = await import('millrace/react')
    const client = await unlimitedClient({ fetch: memoryFetch() })
    const channels = Array.from({ length: CHANNELS }, (_, n) =>
      defineChannel({ key: ['user', n], stream: 'https://example.com/hub', initial: null }),
    )
    const use: Use = (n) => useChannel(channels[n % CHANNELS]).data
    return measured(use, (children, h) => h(MillraceProvider, { client }, children))
  },

  async 'SWR useSWR'() {
    const { default: useSWR } = await import('swr')
    const options = { revalidateOnMount: false, revalidateOnFocus: false, revalidateOnReconnect: false }
    return measured((n) => useSWR(`user ${n % CHANNELS}`, async () => null, options).data)
  },

  async 'TanStack useQuery'() {
    const { QueryClient, QueryClientProvider, useQuery } = await import('@tanstack/react-query')
    const client = new QueryClient()
    const use: Use = (n) => useQuery({ queryKey: ['user', n % CHANNELS], enabled: false }).data
    return measured(use, (children, h) => h(QueryClientProvider, { client }, children))
  },
}

export async function idleComponents(): Promise<Row[]> {
  const all = await compare(import.meta.url, Object.keys(contenders), { rounds: 2, fresh: true, seconds: 40 })
  const row = (against: string) =>
    rowOf(all, 'bytes', {
      what: 'heap of an idle component, React included',
      ours: 'millrace useChannel',
      against,
      show: bytes,
    })
  return [row('no hook'), row('SWR useSWR'), row('TanStack useQuery')]
}

type Wrap = (children: ReactNode, createElement: typeof import('react').createElement) => ReactNode

async function measured(use: Use, wrap: Wrap = (children) => children): Promise<Contender> {
  // React looks for both when it is loaded.
  process.env.NODE_ENV = 'production'
  await import('../support/dom')
  const { createElement } = await import('react')
  const { createRoot } = await import('react-dom/client')
  const { flushSync } = await import('react-dom')
  const root = createRoot(document.createElement('div'))
  const Component = ({ n }: { n: number }) => {
    use(n)
    return null
  }
  const render = (count: number) =>
    flushSync(() =>
      root.render(
        wrap(
          Array.from({ length: count }, (_, n) => createElement(Component, { n, key: n })),
          createElement,
        ),
      ),
    )
  // What is made once is made now.
  render(1)
  return {
    async round() {
      const before = await settledHeap()
      render(COMPONENTS + 1)
      const after = await settledHeap()
      return { bytes: (after - before) / COMPONENTS, root: Number(root !== undefined) }
    },
  }
}
