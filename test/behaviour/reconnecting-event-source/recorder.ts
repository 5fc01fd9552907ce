import { type MillraceError, ReconnectingEventSource } from 'millrace'

export type Init = NonNullable<ConstructorParameters<typeof ReconnectingEventSource>[1]>

/** What error events carry beyond the platform's. */
export interface ErrorEventLike extends Event {
  readonly error?: MillraceError
  readonly retryAt?: number
}

export interface RecordedError {
  readonly code: string | undefined
  readonly status: number | undefined
  readonly message: string | undefined
  readonly retryable: boolean | undefined
  readonly retryAt: number | undefined
  /** ms from the event to the next attempt. */
  readonly delay: number | undefined
  readonly readyState: number
}

export interface Recording {
  readonly source: ReconnectingEventSource
  readonly opens: number
  readonly messages: readonly { type: string; data: string; id: string }[]
  readonly errors: readonly RecordedError[]
  /** The data of all messages. */
  readonly data: readonly string[]
}

/** Reconnects within milliseconds, so that a test need not wait for production's second. */
export const fast = { base: 5, cap: 20 }

const open = new Set<ReconnectingEventSource>()

/** Connects, and writes down all that is dispatched: messages of the type `message` and of those in `types`. */
export function record(url: string | URL, init: Init = {}, types: readonly string[] = []): Recording {
  const source = new ReconnectingEventSource(url, { backoff: fast, ...init })
  open.add(source)
  const messages: { type: string; data: string; id: string }[] = []
  const errors: RecordedError[] = []
  let opens = 0

  source.addEventListener('open', () => {
    opens += 1
  })
  for (const type of ['message', ...types]) {
    source.addEventListener(type, (event: Event) => {
      const { data, lastEventId } = event as MessageEvent<string>
      messages.push({ type: event.type, data, id: lastEventId })
    })
  }
  source.addEventListener('error', (event: Event) => {
    const { error, retryAt } = event as ErrorEventLike
    errors.push({
      code: error?.code,
      status: error?.status,
      message: error?.message,
      retryable: error?.retryable,
      retryAt,
      delay: retryAt === undefined ? undefined : retryAt - Date.now(),
      readyState: source.readyState,
    })
  })
  return {
    source,
    messages,
    errors,
    get opens() {
      return opens
    },
    get data() {
      return messages.map(({ data }) => data)
    },
  }
}

/** For `afterEach`. */
export function closeSources(): void {
  for (const source of open) source.close()
  open.clear()
}
