import { useChannel } from 'millrace/react'
import { createElement, StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { heard, poll, stream, text } from './shared'

function App() {
  const { data: count } = useChannel(stream(), { onEvent: heard })
  const { data: answer } = useChannel(poll())
  return createElement('output', null, text(count, answer))
}

createRoot(document.body.appendChild(document.createElement('main'))).render(
  createElement(StrictMode, null, createElement(App)),
)
