// What a component shows in a simulated DOM, written to the file that SEEN names: the first error, or all that came.
const { writeFileSync } = require('node:fs')
const { createElement } = require('react')
const { createRoot } = require('react-dom/client')
const { defineChannel, getClient, ReconnectingEventSource } = require('millrace')
const { useChannel, useJson } = require('millrace/react')

const { ORIGIN: origin, SEEN: file } = process.env
const streamed = defineChannel({ key: 'streamed', stream: `${origin}/stream` })
const polled = defineChannel({ key: 'polled', snapshot: `${origin}/json`, interval: 200 })

test('a component', async () => {
  const seen = {}
  const Component = () => {
    const results = { streamed: useChannel(streamed), polled: useChannel(polled), asked: useJson(`${origin}/json`) }
    for (const [name, { status, data, error }] of Object.entries(results))
      if (data || error) seen[name] = data ?? [status, error.code, error.message]
    return null
  }
  const root = createRoot(document.createElement('div'))
  root.render(createElement(Component))
  const source = new ReconnectingEventSource(`${origin}/stream`)
  source.onmessage = ({ data }) => {
    seen.source = JSON.parse(data)
  }
  source.onerror = ({ error }) => {
    seen.source = ['failed', error.code, error.message]
  }
  const end = Date.now() + 4_000
  while (Object.keys(seen).length < 4 && Date.now() < end) await new Promise((done) => setTimeout(done, 20))
  writeFileSync(file, JSON.stringify(seen))
  root.unmount()
  source.close()
  getClient().close()
})
