'use client'

import { useChannel, visitors } from './live'

export function Visitors() {
  const { data, status } = useChannel(visitors)
  return (
    <p className="visitors" title={status}>
      {data?.join()}
    </p>
  )
}
