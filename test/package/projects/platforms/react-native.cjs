// React Native's globals, as far as they are to be had: its `fetch` is whatwg-fetch over XMLHttpRequest, whose bodies are
// whole; its AbortController is a polyfill, whose signals give no reason; what it has not is gone.
const http = require('node:http')

// Node's own, loaded before what it is made of goes.
void globalThis.Headers
const GONE =
  'fetch Headers Request Response AbortController AbortSignal ReadableStream TextDecoder TextEncoder BroadcastChannel FinalizationRegistry EventTarget Event MessageEvent DOMException structuredClone navigator'
for (const name of GONE.split(' ')) delete globalThis[name]
globalThis.navigator = { product: 'ReactNative' }
globalThis.self = globalThis
globalThis.XMLHttpRequest = class {
  readyState = 0
  status = 0
  headers = {}
  open(method, url) {
    Object.assign(this, { method, url })
  }
  setRequestHeader(name, value) {
    this.headers[name] = value
  }
  getAllResponseHeaders() {
    return this.answered
  }
  abort() {
    this.request.destroy()
    this.onabort?.()
  }
  send(body) {
    this.request = http.request(this.url, { method: this.method, headers: this.headers }, (answer) => {
      this.answered = Object.entries(answer.headers)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')
      this.status = answer.statusCode
      this.responseText = ''
      answer.setEncoding('utf8').on('data', (text) => (this.responseText += text))
      answer.on('end', () => this.onload())
    })
    this.request.on('error', () => this.onerror?.())
    this.request.end(body)
  }
}
Object.assign(globalThis, require('abort-controller'))
require('whatwg-fetch')

const { createClient, defineChannel, ReconnectingEventSource } = require('millrace')
const [origin] = process.argv.slice(2)
const client = createClient({ baseUrl: origin })
const say = (what, value) => console.log(JSON.stringify([what, value]))
const told = ({ code, retryable, message }) => ({ code, retryable, message })

async function main() {
  say('asked', await client.json('/json'))
  say('fetched', await (await client.fetch('/json')).json())
  const polled = defineChannel({ key: 'polled', snapshot: '/json', interval: 1_000 })
  await new Promise((done) => client.subscribe(polled, { state: ({ data }) => data && done(say('polled', data)) }))
  const leaving = new AbortController()
  const left = client.json('/slow', { signal: leaving.signal })
  leaving.abort()
  say('left', (await left.catch((error) => error)).name)
  say('late', told(await client.json('/slow', {}, { timeout: 300 }).catch((error) => error)))
  const streamed = defineChannel({ key: 'streamed', stream: '/ended' })
  await new Promise((done) => client.subscribe(streamed, { error: (error) => done(say('streamed', told(error))) }))
  try {
    new ReconnectingEventSource(`${origin}/ended`)
  } catch (error) {
    say('source', told(error))
  }
  client.close()
}
main()
