import { configure, defineChannel, getClient, type StreamEvent } from 'millrace'

export interface Count {
  readonly count: number
  readonly last: number
}
export interface Answer {
  readonly n: number
}
export type Numbered = StreamEvent<string, Answer>

configure({ environment: 'test' })

// Each page describes the channels anew, as pages do: what they share is the request.
export const stream = () =>
  defineChannel<Count, Numbered>({
    key: 'stream',
    stream: '/stream',
    initial: { count: 0, last: 0 },
    reduce: ({ count }, { data }) => ({ count: count + 1, last: data.n }),
  })
export const poll = () => defineChannel<Answer>({ key: 'poll', snapshot: '/poll', interval: 300 })

/** What the page has heard, for the test to read; what it shows is in its `output`. */
const ids: number[] = []
Object.assign(window, { ids, client: getClient() })
export const heard = ({ data }: Numbered): void => void ids.push(data.n)
export const text = (count: Count | undefined, answer: Answer | undefined): string =>
  `${count?.count} events, the last ${count?.last}, polled ${answer?.n}`
