import { readFileSync } from 'node:fs'
import { ReconnectingEventSource } from 'millrace'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectedOf, titleOf } from './case'
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
      expect(await run(each, fast(ReconnectingEventSource), servers.origins, `/${index}/node`)).toEqual(
        expectedOf(each, 'ours'),
      )
    },
  )
})

describe('the table', () => {
  test('names each case once', () => {
    const titles = cases.map(titleOf)
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([])
  })

  test('has no difference that is none', () => {
    for (const { name, expected, differs } of cases) {
      const { ours, oursIn, browsers } = differs ?? {}
      for (const observed of [ours, ...[oursIn, browsers].flatMap((each) => Object.values(each ?? {}))])
        if (observed !== undefined) expect(observed, name).not.toEqual(expected)
    }
  })

  test('has the differences that the README has', () => {
    const [, section = ''] = readFileSync('README.md', 'utf8').split(/^### Where it differs from the browser's$/m)
    const [list = ''] = section.split(/^#/m)
    const items = list.match(/^- .*(?:\n {2}.*)*/gm) ?? []
    // First what ours does otherwise, then where it does as specified and a browser does not.
    const differences = cases.flatMap(({ differs }) => differs ?? [])
    const whys = (isOurs: boolean) =>
      differences.filter((each) => isOurs === ('ours' in each || 'oursIn' in each)).map(({ why }) => why)
    expect(items.map((item) => item.slice(2).replace(/\s+/g, ' '))).toEqual([
      ...new Set([...whys(true), ...whys(false)]),
    ])
  })
})
