import { Window } from 'happy-dom'

// A document for react-dom, and nothing else of happy-dom: its environment would also put its own `fetch`, `URL` and
// `AbortController` in the place of Node's, and what these tests look at are the requests that reach a real server.
const window = new Window({ url: 'http://127.0.0.1/' })
for (const [name, value] of Object.entries({ window, document: window.document, navigator: window.navigator }))
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
