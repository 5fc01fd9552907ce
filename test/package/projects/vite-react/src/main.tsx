import { defineChannel, type StreamEvent } from 'millrace'
import { useChannel } from 'millrace/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

const visitors = defineChannel<string[], StreamEvent<'message', string>>({
  key: 'visitors',
  stream: '/stream',
  initial: [],
  reduce: (names, { data }) => [...names, data],
})

function Visitors() {
  const { data, status } = useChannel(visitors)
  return (
    <p className="visitors" title={status}>
      {data?.join()}
    </p>
  )
}

createRoot(document.querySelector('main') as HTMLElement).render(
  <StrictMode>
    <Visitors />
    <Visitors />
  </StrictMode>,
)
