import '../support/dom'
import { defineChannel } from 'millrace'
import { mount } from 'millrace/vanilla'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { block, catchReported, closeClients, startClient, watch } from '../behaviour/channels/watch'
import { memoryFetch } from '../bench/clients'
import { until } from '../support/until'
import { deepJson, inheritedNames } from './corpus'

const anything = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as const
const hostile = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"prototype":{"polluted":1}}'
const common = [Object.prototype, Array.prototype, Function.prototype, Object] as const
const own = () => common.map((object) => Reflect.ownKeys(object).map(String).join())

let reported: readonly unknown[]
let before: readonly string[]
beforeEach(() => {
  reported = catchReported()
  before = own()
})
afterEach(() => {
  expect(own()).toEqual(before)
  expect(({} as { polluted?: 1 }).polluted).toBeUndefined()
  expect(reported).toEqual([])
})
afterEach(closeClients)

test('events that name `__proto__` change nothing but themselves', async () => {
  const names = inheritedNames.map((name) => block(JSON.parse(hostile), { event: name, id: name })).join('')
  const { client } = startClient({ fetch: memoryFetch((write) => write(names + block(JSON.parse(hostile)))) })
  const watched = watch(client, 'https://example.com/stream')
  await until(() => watched.events.length === inheritedNames.length + 1)
  expect(watched.events.map(({ type }) => type)).toEqual([...inheritedNames, 'message'])
  for (const { data } of watched.events) expect(Object.keys(data)).toEqual(['__proto__', 'constructor', 'prototype'])
})

test('envelopes that name what every object has are no event that is listed', async () => {
  const bodies = inheritedNames.flatMap((name) => [
    `{"type":"${name}","data":1}`,
    `{"event":"${name}","polluted":1}`,
    `{"${name}":{"polluted":1}}`,
  ])
  const text = bodies.map((body) => `data: ${body}\n\n`).join('')
  const { client } = startClient({
    fetch: memoryFetch((write) =>
      write(`${text}event: __proto__\ndata: 1\n\ndata: {"event":"known","__proto__":{}}\n\n`),
    ),
  })
  const channel = defineChannel({ key: 'listed', stream: 'https://example.com/', events: { known: anything } })
  const watched = watch(client, channel)
  await until(() => watched.events.length === 1)
  expect(Object.getPrototypeOf(watched.events[0]!.data)).toBe(Object.prototype)
  expect(client.stats().channels[0]).toMatchObject({ events: 1, ignored: bodies.length + 1, invalid: 0 })
})

test('a snapshot that names `__proto__` goes through as it is, poll after poll', async () => {
  let polls = 0
  const { client } = startClient({
    fetch: async () =>
      new Response(hostile.replace('1}', `${++polls}}`), {
        headers: { 'content-type': 'application/json', constructor: 'x', __proto__: 'x' },
      }),
    headers: JSON.parse('{"__proto__":"a","constructor":"b"}'),
  })
  const watched = watch(client, defineChannel({ key: 'snapshot', snapshot: 'https://example.com/', interval: 200 }))
  await until(() => polls === 3)
  await until(() => JSON.stringify(watched.state.data) === hostile.replace('1}', '3}'))
  expect(JSON.stringify(await client.json('https://example.com/__proto__'))).toContain('"__proto__":{"polluted":4}')
})

test('keys that name `__proto__` are keys like others', () => {
  const { client } = startClient({ fetch: memoryFetch() })
  const keys = [
    ...inheritedNames,
    ...inheritedNames.map((name) => [name]),
    [{}],
    [JSON.parse('{"__proto__":1}')],
    [JSON.parse('{"__proto__":{"a":1}}')],
    [JSON.parse('{"constructor":1}')],
  ]
  const channels = keys.map((key, n) => defineChannel({ key, stream: `https://example.com/${n}` }))
  for (const channel of channels) client.subscribe(channel, {})
  expect(new Set(channels.map(({ key }) => key)).size).toBe(keys.length)
  expect(client.stats().channels).toHaveLength(keys.length)
  for (const channel of channels) expect(client.getState(channel).data).toBeUndefined()
})

test('a declaration in the page shows what the data has of its own, and nothing else', async () => {
  vi.stubGlobal('MutationObserver', window.MutationObserver)
  const { client } = startClient({
    fetch: memoryFetch((write) =>
      write(block(JSON.parse('{"own":"mine","list":[1]}')) + block(deepJson(100_000), { event: 'deep' })),
    ),
  })
  const at = (attributes: string) => `<output data-millrace="https://example.com/" ${attributes}></output>`
  const paths = ['own', '__proto__', 'constructor.name', 'list.length', 'list.0', 'own.length', 'toString']
  document.body.innerHTML = [
    ...paths.map((path) => at(`data-millrace-event="message" data-millrace-text="${path}"`)),
    at('data-millrace-event="__proto__"'),
    at('data-millrace-event="deep"'),
  ].join('')
  const unmount = mount(document, client)
  const shown = () => [...document.querySelectorAll('output')].map(({ textContent }) => textContent)
  await until(() => shown()[0] === 'mine')
  expect(shown()).toEqual(['mine', '', '', '1', '1', '', '', '', ''])
  unmount()
})
