import {
  type ChannelStatus,
  type Client,
  defineChannel,
  type MillraceError,
  type Stats,
  type StreamEvent,
} from 'millrace'
import {
  createMillrace,
  type MaybeChannel,
  type UseChannelOptions,
  type UseChannelReturn,
  useChannel,
  useClient,
  useEvents,
  useJson,
  useStats,
} from 'millrace/vue'
import { describe, expectTypeOf, test } from 'vitest'
import { computed, createApp, type Ref, ref, shallowRef } from 'vue'
import * as z from 'zod'

// Read by the compiler: `tsc -p test` says what is wrong. Run, it shows that nothing here throws.

const stream = 'http://127.0.0.1/stream'
const snapshot = 'http://127.0.0.1/snapshot'
/** The compiler reads it; nothing runs. */
const never = (_: () => unknown): void => {}

const users = defineChannel({
  key: 'users',
  stream,
  events: { joined: z.object({ id: z.string() }), left: z.object({ why: z.string() }) },
  initial: new Map<string, number>(),
  reduce: (state) => state,
})
const list = defineChannel<string[]>({ key: 'list', snapshot })
type Users = Map<string, number>

describe('useChannel', () => {
  test('infers the data from the channel', () =>
    never(() => {
      const { data, status, error, isLive, isStale, attempt, retryAt, updatedAt, refresh } = useChannel(users)
      expectTypeOf(data).toEqualTypeOf<Readonly<Ref<Users | undefined>>>()
      expectTypeOf(data.value).toEqualTypeOf<Users | undefined>()
      expectTypeOf(status.value).toEqualTypeOf<ChannelStatus>()
      expectTypeOf(error.value).toEqualTypeOf<MillraceError | undefined>()
      expectTypeOf(isLive.value).toEqualTypeOf<boolean>()
      expectTypeOf(isStale.value).toEqualTypeOf<boolean>()
      expectTypeOf(attempt.value).toEqualTypeOf<number>()
      expectTypeOf(retryAt.value).toEqualTypeOf<number | undefined>()
      expectTypeOf(updatedAt.value).toEqualTypeOf<number | undefined>()
      expectTypeOf(refresh).toEqualTypeOf<() => Promise<void>>()
      // @ts-expect-error: for reading
      data.value = new Map()
    }))

  test('infers it from refs, getters and what may be nothing', () =>
    never(() => {
      const id = ref<string>()
      const room = (name: string) => defineChannel<number>({ key: ['room', name], snapshot })
      expectTypeOf(useChannel(shallowRef(list)).data.value).toEqualTypeOf<string[] | undefined>()
      expectTypeOf(useChannel(computed(() => list)).data.value).toEqualTypeOf<string[] | undefined>()
      expectTypeOf(useChannel(() => id.value && room(id.value)).data.value).toEqualTypeOf<number | undefined>()
      expectTypeOf(useChannel(() => (id.value ? room(id.value) : null)).data.value).toEqualTypeOf<number | undefined>()
      expectTypeOf(useChannel({} as MaybeChannel<Date, never>).data.value).toEqualTypeOf<Date | undefined>()
    }))

  test('infers what `select` makes of it, and gives its functions their types', () =>
    never(() => {
      const { data } = useChannel(users, {
        select(all) {
          expectTypeOf(all).toEqualTypeOf<Users>()
          return [...all.keys()]
        },
        isEqual(a, b) {
          expectTypeOf(a).toEqualTypeOf<string[]>()
          return a.join() === b.join()
        },
        onEvent(event) {
          expectTypeOf(event.type).toEqualTypeOf<'joined' | 'left'>()
          if (event.type === 'left') expectTypeOf(event.data).toEqualTypeOf<{ why: string }>()
        },
        onError: (error) => expectTypeOf(error).toEqualTypeOf<MillraceError>(),
        enabled: true,
        interval: 1_000,
        label: 'users',
      })
      expectTypeOf(data.value).toEqualTypeOf<string[] | undefined>()
      const size = useChannel(users, () => ({ select: (all) => all.size }))
      expectTypeOf(size.data.value).toEqualTypeOf<number | undefined>()
      expectTypeOf(useChannel(list, ref({ enabled: false })).data.value).toEqualTypeOf<string[] | undefined>()
      const options: UseChannelOptions<string[], never, number> = { select: (all) => all.length }
      expectTypeOf(useChannel(list, options)).toEqualTypeOf<UseChannelReturn<number>>()
    }))

  test('refuses what is not a channel, and options that do not fit', () =>
    never(() => {
      // @ts-expect-error
      useChannel('/api/users')
      // @ts-expect-error
      useChannel({ key: 'users' }, { enabled: 'yes' })
      // @ts-expect-error
      useChannel(list, { select: (all: number) => all })
      // @ts-expect-error
      useChannel(list, { intervall: 1 })
    }))
})

describe('the others', () => {
  test('useEvents gives the handler the events of the channel', () =>
    never(() => {
      const status = useEvents(users, (event) => {
        expectTypeOf(event.type).toEqualTypeOf<'joined' | 'left'>()
      })
      expectTypeOf(status).toEqualTypeOf<Readonly<Ref<ChannelStatus>>>()
      const untyped = defineChannel({ key: 'k', stream })
      useEvents(
        () => untyped,
        (event) => expectTypeOf(event).toEqualTypeOf<StreamEvent>(),
        () => ({ enabled: false, label: 'x' }),
      )
      // @ts-expect-error: events have no state to select from
      useEvents(users, () => {}, { select: () => 1 })
    }))

  test('useJson has the type that it is given, or that of the schema', () =>
    never(() => {
      const { data, error, status, refresh } = useJson<{ n: number }>('/x', { ttl: 1_000, retry: 2 })
      expectTypeOf(data.value).toEqualTypeOf<{ n: number } | undefined>()
      expectTypeOf(error.value).toEqualTypeOf<MillraceError | undefined>()
      expectTypeOf(status.value).toEqualTypeOf<ChannelStatus>()
      expectTypeOf(refresh).toEqualTypeOf<() => Promise<void>>()
      const url = ref<URL | null>(null)
      expectTypeOf(useJson(url, { schema: z.object({ at: z.coerce.date() }) }).data.value).toEqualTypeOf<
        { at: Date } | undefined
      >()
      expectTypeOf(useJson(() => url.value).data.value).toEqualTypeOf<unknown>()
      // @ts-expect-error
      useJson(7)
    }))

  test('useStats, useClient and the plugin', () =>
    never(() => {
      expectTypeOf(useStats().value).toEqualTypeOf<Stats>()
      expectTypeOf(useClient()).toEqualTypeOf<Client>()
      createApp({}).use(createMillrace({ client: useClient() }))
      // @ts-expect-error
      createMillrace()
    }))
})
