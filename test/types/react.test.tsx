import {
  type Channel,
  type ChannelStatus,
  defineChannel,
  type MillraceError,
  type Stats,
  type StreamEvent,
} from 'millrace'
import { type JsonResult, useChannel, useEvents, useJson, useStats } from 'millrace/react'
import { describe, expectTypeOf, test } from 'vitest'
import * as z from 'zod'

// Read by the compiler: `tsc -p test` says what is wrong. Nothing of it renders.

interface User {
  id: string
  online: boolean
}
const users = defineChannel({
  key: 'users',
  stream: 'http://127.0.0.1/stream',
  events: { joined: z.object({ id: z.string() }), left: z.object({ id: z.string(), why: z.string() }) },
  initial: [] as User[],
  reduce: (list) => list,
})
/** The compiler reads it. */
const component = (_: () => unknown): void => {}

describe('useChannel', () => {
  test('infers the data from the channel', () => {
    component(() => {
      const result = useChannel(users)
      expectTypeOf(result.data).toEqualTypeOf<User[] | undefined>()
      expectTypeOf(result.status).toEqualTypeOf<ChannelStatus>()
      expectTypeOf(result.error).toEqualTypeOf<MillraceError | undefined>()
      expectTypeOf(result.isLive).toEqualTypeOf<boolean>()
      expectTypeOf(result.retryAt).toEqualTypeOf<number | undefined>()
      expectTypeOf(result.refresh).toEqualTypeOf<() => Promise<void>>()
      // @ts-expect-error a result is not to be written to
      result.data = []
    })
  })

  test('infers what `select` makes of it, and hands that to `isEqual`', () => {
    component(() => {
      expectTypeOf(useChannel(users, { select: (list) => list.length }).data).toEqualTypeOf<number | undefined>()
      const { data } = useChannel(users, {
        select: (list) => ({ count: list.length }),
        isEqual: (a, b) => {
          expectTypeOf(a).toEqualTypeOf<{ count: number }>()
          return a.count === b.count
        },
      })
      expectTypeOf(data).toEqualTypeOf<{ count: number } | undefined>()
      // @ts-expect-error no such field
      useChannel(users, { select: (list) => list.size })
    })
  })

  test('infers the events, and takes what may be undefined as not given', () => {
    component(() => {
      useChannel(users, {
        enabled: undefined,
        interval: undefined,
        label: undefined,
        select: undefined,
        onEvent(event) {
          if (event.type === 'left') expectTypeOf(event.data).toEqualTypeOf<{ id: string; why: string }>()
          else expectTypeOf(event.type).toEqualTypeOf<'joined'>()
        },
        onError: (error) => expectTypeOf(error).toEqualTypeOf<MillraceError>(),
      })
    })
  })

  test('takes no channel for an answer', () => {
    component(() => {
      const maybe = users as typeof users | null
      expectTypeOf(useChannel(maybe).data).toEqualTypeOf<User[] | undefined>()
      const on = true as boolean
      expectTypeOf(useChannel(on && users).data).toEqualTypeOf<User[] | undefined>()
      expectTypeOf(useChannel(on ? users : undefined, { select: ([first]) => first?.id }).data).toEqualTypeOf<
        string | undefined
      >()
      // @ts-expect-error a URL is no channel
      useChannel('/api/users')
    })
  })
})

test('useEvents infers the events and answers with the status', () => {
  component(() => {
    const status = useEvents(users, (event) => expectTypeOf(event.type).toEqualTypeOf<'joined' | 'left'>())
    expectTypeOf(status).toEqualTypeOf<ChannelStatus>()
    const plain: Channel<unknown, StreamEvent> | null = null
    useEvents(plain as Channel<unknown, StreamEvent> | null, ({ data }) => data.anything, {
      enabled: false,
      label: 'x',
    })
  })
})

test('useJson infers from the schema, or takes your word', () => {
  component(() => {
    expectTypeOf(useJson<User>('/api/users/1')).toEqualTypeOf<JsonResult<User>>()
    expectTypeOf(useJson('/api/users/1').data).toEqualTypeOf<unknown>()
    const schema = z.object({ at: z.string().transform(Number) })
    expectTypeOf(useJson('/api', { schema, ttl: 1_000, retry: 2, interval: 5_000 }).data).toEqualTypeOf<
      { at: number } | undefined
    >()
    useJson(null)
    useJson(new URL('http://127.0.0.1/'))
  })
})

test('useStats has the figures', () => {
  component(() => expectTypeOf(useStats()).toEqualTypeOf<Stats>())
})
