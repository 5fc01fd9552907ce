// For both sides: what is live here, and the hook to see it with, which only a client component may call.
import { defineChannel, type StreamEvent } from 'millrace'

export { useChannel } from 'millrace/react'

export const visitors = defineChannel<string[], StreamEvent<'message', string>>({
  key: 'visitors',
  stream: process.env.NEXT_PUBLIC_STREAM as string,
  initial: ['nobody yet'],
  reduce: (names, { data }) => [...names, data],
})
