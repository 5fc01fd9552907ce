import { readFileSync } from 'node:fs'
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

describe('the table', () => {
  test('names each case once', () => {
    const titles = cases.map(titleOf)
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([])
  })

  test('has no difference that is none', () => {
    for (const { name, expected, differs } of cases) {
      const { ours, browsers } = differs ?? {}
      for (const observed of [ours, ...Object.values(browsers ?? {})])
        if (observed !== undefined) expect(observed, name).not.toEqual(expected)
    }
  })

  test('has the differences that the README has', () => {
    const [, section = ''] = readFileSync('README.md', 'utf8').split(/^### Where it differs from the browser's$/m)
    const [list = ''] = section.split(/^#/m)
    const items = list.split(/^- /m).slice(1)
    expect(items.map((item) => item.trim().replace(/\s+/g, ' '))).toEqual([
      ...new Set(cases.flatMap(({ differs }) => differs?.why ?? [])),
    ])
  })
})
