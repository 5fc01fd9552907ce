import { type Client, type ClientEvents, isMillraceError } from 'millrace'
import { vi } from 'vitest'

/** What anybody may read of a client, as one text for each time that something was told: "place: text". */
export interface Overheard {
  readonly texts: readonly string[]
  /** The codes of the errors and alerts among them. */
  readonly codes: ReadonlySet<string>
  tell(place: string, value: unknown): void
}

const EVENTS = ['alert', 'status', 'request', 'subscribe', 'unsubscribe', 'switch', 'stats'] as const
const CONSOLE = ['debug', 'log', 'info', 'warn', 'error', 'trace'] as const

/** Listens wherever something is told of requests; not to what the data itself says. */
export function overhear(): Overheard & { listen(client: Client): void } {
  const texts: string[] = []
  const codes = new Set<string>()
  const tell = (place: string, value: unknown): void => {
    texts.push(
      `${place}: ${JSON.stringify(value, (_, part) => {
        if (!(part instanceof Error)) return part
        if (isMillraceError(part)) codes.add(part.code)
        return textsOf(part)
      })}`,
    )
  }
  for (const method of CONSOLE) vi.spyOn(console, method).mockImplementation((...said) => tell('console', said))
  return {
    texts,
    codes,
    tell,
    listen(client) {
      for (const type of EVENTS)
        client.on(type, (event: ClientEvents[typeof type]) => {
          if ('code' in event) codes.add(event.code)
          tell(type, event)
        })
    },
  }
}

/** All that an error shows of itself, and of those of ours that it was caused by; what the platform's say is its own. */
function textsOf(error: Error): string[] {
  const causes = isMillraceError(error.cause) ? textsOf(error.cause) : []
  return [`${error}`, error.message, error.stack ?? '', JSON.stringify(error), ...causes]
}
