import { describe, expect, test } from 'vitest'
import { MillraceError } from '../../src/primitives/errors'
import {
  type Connectivity,
  complete,
  failed,
  fromFallback,
  fromSnapshot,
  fromStream,
  idle,
  isGivenUp,
} from '../../src/registry/channel-state'
import type { SnapshotState } from '../../src/sources/snapshot'
import type { StreamState } from '../../src/sources/stream'

const lost = new MillraceError('network', 'lost', { retryable: true })
const html = new MillraceError('content-type', 'sent HTML', { retryable: true })
const runaway = new MillraceError('runaway', 'a loop?', { retryable: true })
const gone = new MillraceError('http', 'answered 404')

/** What a channel shows; what is not said is nothing. */
const shows = (status: Connectivity['status'], rest: Partial<Connectivity> = {}): Connectivity => ({
  status,
  error: undefined,
  attempt: 0,
  retryAt: undefined,
  pausedBy: undefined,
  ...rest,
})
const connecting = shows('connecting')

const trying = (failures: number, error: MillraceError | undefined): StreamState => ({
  name: 'connecting',
  failures,
  since: 5,
  error,
})
const waiting = (failures: number, error: MillraceError): StreamState => ({
  name: 'waiting',
  failures,
  retryAt: 7,
  delay: 1,
  error,
})
const open: StreamState = { name: 'open', failures: 0, since: 5 }
const polls = (error?: MillraceError, failures = 0): SnapshotState => ({ name: 'polling', failures, retryAt: 9, error })
const heldBack = (by: 'hidden' | 'stream-limit') => ({ name: 'held-back' as const, by })

describe('a stream', () => {
  const rows: [what: string, state: StreamState, expected: Connectivity, withoutData?: Connectivity][] = [
    ['idle', { name: 'idle' }, connecting],
    ['paused', { name: 'paused', failures: 2 }, connecting],
    ['connecting for the first time', trying(0, undefined), connecting],
    ['connecting after failures', trying(2, lost), shows('reconnecting', { error: lost, attempt: 2, retryAt: 5 })],
    ['connecting again after a pause', trying(2, undefined), shows('reconnecting', { attempt: 2, retryAt: 5 })],
    ['open', open, shows('live'), connecting],
    ['waiting', waiting(1, lost), shows('reconnecting', { error: lost, attempt: 1, retryAt: 7 })],
    [
      'waiting because the guard has closed the gate',
      waiting(1, runaway),
      shows('paused', { error: runaway, attempt: 1, retryAt: 7, pausedBy: 'runaway' }),
    ],
    ['held back', heldBack('hidden'), shows('paused', { pausedBy: 'hidden' })],
    ['complete', { name: 'complete' }, complete],
    ['failed', { name: 'failed', error: gone }, shows('failed', { error: gone })],
  ]
  test.each(rows)('that is %s is shown as that', (_, state, expected, withoutData = expected) => {
    expect(fromStream(state, true)).toEqual(expected)
    expect(fromStream(state, false)).toEqual(withoutData)
  })

  test.each<[string, StreamState, boolean]>([
    ['it could not be had three times', waiting(3, lost), true],
    ['it could not be had twice', waiting(2, lost), false],
    ['the attempt after the third failure is under way', trying(3, lost), true],
    ['the first attempt is under way', trying(0, undefined), false],
    ['it is no event stream', waiting(1, html), true],
    ['it was no event stream, and is asked again', trying(1, html), true],
    ['the browser has no connection left for it', heldBack('stream-limit'), true],
    ['the page is hidden', heldBack('hidden'), false],
    ['it is open, though it failed before', { ...open, failures: 9 } as StreamState, false],
    ['it is paused, though it failed before', { name: 'paused', failures: 9 }, false],
    ['it has failed for good', { name: 'failed', error: html }, false],
  ])('that has a snapshot is given up for it when %s (%o)', (_, state, expected) => {
    expect(isGivenUp(state)).toBe(expected)
  })
})

describe('a poller', () => {
  const rows: [what: string, state: SnapshotState, expected: Connectivity, withoutData?: Connectivity][] = [
    ['idle', { ...polls(), name: 'idle' } as SnapshotState, shows('polling'), connecting],
    ['polling', polls(), shows('polling'), connecting],
    ['failing', polls(lost, 4), shows('reconnecting', { error: lost, attempt: 4, retryAt: 9 })],
    ['held back', heldBack('hidden'), shows('paused', { pausedBy: 'hidden' })],
    ['failed', { name: 'failed', error: gone }, shows('failed', { error: gone })],
  ]
  test.each(rows)('that is %s is shown as that', (_, state, expected, withoutData = expected) => {
    expect(fromSnapshot(state, true)).toEqual(expected)
    expect(fromSnapshot(state, false)).toEqual(withoutData)
  })

  test('whose answer cannot be used has failed once, whatever it says itself', () => {
    expect(fromSnapshot(polls(), true, html)).toEqual(shows('reconnecting', { error: html, attempt: 1, retryAt: 9 }))
    expect(fromSnapshot(polls(lost, 2), true, html)).toMatchObject({ error: lost, attempt: 2 })
  })
})

describe('polling in place of a stream', () => {
  test('is shown with what the stream has to say', () => {
    expect(fromFallback(waiting(3, lost), polls(), true)).toEqual(
      shows('polling', { error: lost, attempt: 3, retryAt: 7 }),
    )
    expect(fromFallback(waiting(3, runaway), polls(), true)).toEqual(
      shows('polling', { error: runaway, attempt: 3, retryAt: 7 }),
    )
  })

  test('that has brought nothing yet is shown as the stream is', () => {
    const stream = shows('reconnecting', { error: lost, attempt: 3, retryAt: 7 })
    expect(fromFallback(waiting(3, lost), polls(), false)).toEqual(stream)
    expect(fromFallback(waiting(3, lost), polls(html, 1), true)).toEqual(stream)
    expect(fromFallback(open, polls(lost, 1), false)).toEqual(shows('live'))
  })

  test('that is paused is shown as paused', () => {
    expect(fromFallback(waiting(3, lost), heldBack('hidden'), true)).toEqual(shows('paused', { pausedBy: 'hidden' }))
  })
})

test('a channel that nobody wants, that is over or that has failed, says no more than that', () => {
  expect(idle).toEqual(shows('idle'))
  expect(complete).toEqual(shows('complete'))
  expect(failed(gone)).toEqual(shows('failed', { error: gone }))
})
