import { afterEach, beforeEach, expect } from 'vitest'
import { catchReported, closeClients } from '../behaviour/channels/watch'
import { closeServers } from '../support/http-server'

/** Declares for each test of a file that nothing of it is reported to the platform as an exception, and closes its ends. */
export function expectNothingReported(): void {
  let reported: readonly unknown[]
  beforeEach(() => {
    reported = catchReported()
  })
  afterEach(() => {
    expect(reported).toEqual([])
  })
  afterEach(closeClients)
  afterEach(closeServers)
}
