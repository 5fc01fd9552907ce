import { type RefObject, useInsertionEffect, useRef } from 'react'

/** What the last committed render was given: for callbacks that run later. */
export function useLatest<T>(given: T): RefObject<T> {
  const latest = useRef(given)
  useInsertionEffect(() => {
    latest.current = given
  })
  return latest
}
