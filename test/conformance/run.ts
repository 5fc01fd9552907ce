import type { Case, Kit, Listening } from './case'

export interface Origins {
  /** The page's own. */
  readonly same: string
  readonly other: string
  /** Where the log is read: not the others, whose few connections the cases use. */
  readonly log: string
}

const STATES = ['connecting', 'open', 'closed']

/** Plays one case: what it observed, as JSON, or how it failed. */
export async function run(
  { scenario }: Case,
  EventSource: typeof globalThis.EventSource,
  origins: Origins,
  place: string,
): Promise<unknown> {
  const sources: EventSource[] = []
  const logs: string[][] = []

  const kit: Kit = { EventSource, url, open, listen, until, requests, cut, more, meanwhile }
  try {
    return JSON.parse(JSON.stringify(await scenario(kit)))
  } catch (error) {
    return { failed: String(error), logs }
  } finally {
    for (const source of sources) source.close()
  }

  function url(path = '', server: 'same' | 'other' = 'same'): string {
    return `${origins[server]}${place}${path}`
  }

  function open(at: string | URL = url(), init?: EventSourceInit): EventSource {
    const source = new EventSource(at, init)
    sources.push(source)
    return source
  }

  function listen({ url, init, types = [] }: Parameters<Kit['listen']>[0] = {}): Listening {
    const source = open(url, init)
    const log: string[] = []
    logs.push(log)
    const events: MessageEvent<string>[] = []
    const note = (event: Event) => {
      if ('data' in event) {
        events.push(event as MessageEvent<string>)
        log.push(`${event.type} ${event.data}`)
      } else log.push(event.type === 'open' ? 'open' : `error, ${STATES[source.readyState]}`)
    }
    for (const type of ['open', 'message', 'error', ...types]) source.addEventListener(type, note)
    return { source, log, events }
  }

  async function until(read: () => unknown): Promise<void> {
    const deadline = performance.now() + 10_000
    while (!(await read())) {
      if (performance.now() > deadline) throw new Error(`Waited 10 s for ${read}`)
      await new Promise((resolve) => setTimeout(resolve, 4))
    }
  }

  async function requests() {
    return (await fetch(`${origins.log}${place}`)).json()
  }

  async function cut(): Promise<void> {
    await fetch(`${origins.log}${place}/cut`)
  }

  async function more(): Promise<void> {
    await fetch(`${origins.log}${place}/more`)
  }

  async function meanwhile(): Promise<void> {
    const { source, log } = listen({ url: `${origins.log}/again` })
    logs.pop()
    await until(() => log.filter((entry) => entry.startsWith('error')).length >= 3)
    source.close()
  }
}
