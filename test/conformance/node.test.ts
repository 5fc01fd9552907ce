import { ReconnectingEventSource } from 'millrace'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { titleOf } from './case'
import { cases } from './cases'
import { fast } from './fast'
import { run } from './run'
import { type Servers, startServers } from './servers'

let servers: Servers
beforeAll(async () => {
  servers = await startServers(cases)
})
afterAll(() => servers?.close())

describe('in Node, ReconnectingEventSource', () => {
  const here = [...cases.entries()].filter(([, { page }]) => !page)
  test.concurrent.each(here.map(([index, each]) => [titleOf(each), index, each] as const))(
    '%s',
    async (_, index, each) => {
      const { expected, differs } = each
      expect(await run(each, fast(ReconnectingEventSource), servers.origins, `/${index}/node`)).toEqual(
        differs && 'ours' in differs ? differs.ours : expected,
      )
    },
  )
})
