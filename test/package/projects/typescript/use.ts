import {
  type Channel,
  type ChannelState,
  createClient,
  defineChannel,
  isMillraceError,
  type StreamEvent,
} from 'millrace'
import { bind } from 'millrace/vanilla'

type Visit = StreamEvent<'joined' | 'left', string>

export const visitors: Channel<string[], Visit> = defineChannel<string[], Visit>({
  key: ['visitors', 7],
  stream: '/stream',
  initial: [],
  reduce: (names, { type, data }) => (type === 'joined' ? [...names, data] : names.filter((name) => name !== data)),
})

const client = createClient({ baseUrl: 'http://127.0.0.1/' })
const subscription = client.subscribe(visitors, {
  next: ({ type, data }) => console.log(type satisfies 'joined' | 'left', data.toUpperCase()),
  state: (state: ChannelState<string[]>) => console.log(state.data?.length, state.error?.code),
  error: (error) => isMillraceError(error) && error.status,
})
subscription.unsubscribe()

export function show(element: HTMLElement): () => void {
  return bind(element, visitors, ({ data = [] }) => element.replaceChildren(data.join()))
}

// What is wrong is said: the types are there, and are not `any`.
// @ts-expect-error a channel needs a stream or a snapshot
defineChannel({ key: 'nothing' })
// @ts-expect-error the state is a list
export const length: number = client.getState(visitors).data
