import { afterEach, expect, test } from 'vitest'
import { createFaultScript } from '../../support/fault-script'
import { closeServers } from '../../support/http-server'
import { startJournal } from '../../support/journal-server'
import { until } from '../../support/until'
import { closeSources, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

// Without `replay`: an EventSource hands on what the server sends, and the server sends it twice.
const KINDS = ['status', 'refuse', 'reset', 'end', 'cut', 'silent'] as const
const FAULTS = 15

test.each([1, 2, 3, 4])(
  'every event arrives once and in order through resets, cuts and silence, seed %i',
  async (seed) => {
    const faults = createFaultScript(seed, { faults: FAULTS, kinds: KINDS })
    const journal = await startJournal({ faults, heartbeat: 20 })
    const recording = record(journal.streamUrl, { idleTimeout: 150 })
    const feed = setInterval(() => journal.append({ text: `Größe ${journal.events.length} € 😀` }), 3)
    try {
      await until(() => faults.log.length === FAULTS, { what: 'all faults', within: 12_000 })
    } finally {
      clearInterval(feed)
    }
    const last = journal.append()
    await until(() => recording.messages.at(-1)?.id === String(last.id), 'the last event')
    journal.assertDelivered(
      recording.messages.map(({ id }) => Number(id)),
      1,
    )
    expect(recording.data).toEqual(journal.events.map(({ data }) => JSON.stringify(data)))
    expect(recording.errors.length).toBeGreaterThanOrEqual(FAULTS)
  },
)

test('a server that replays too much is heard twice, which the journal notices', async () => {
  const journal = await startJournal({ replayExtra: 2 })
  const recording = record(journal.streamUrl)
  for (let n = 0; n < 5; n += 1) journal.append()
  await until(() => recording.messages.length === 5)
  journal.drop()
  await until(() => recording.messages.length === 7)
  expect(() => journal.assertDelivered(recording.messages.map(({ id }) => Number(id)))).toThrow('"doubled":[4,5]')
})
