import { afterEach, describe, expect, test } from 'vitest'
import { closeClients } from '../behaviour/channels/watch'
import { closeSources } from '../behaviour/reconnecting-event-source/recorder'
import { closeProxies, startFaultProxy } from '../support/fault-proxy'
import { closeNginx, type Nginx, startNginx } from '../support/nginx'
import { until } from '../support/until'
import { readerNames, readers } from './readers'

afterEach(closeClients)
afterEach(closeSources)
afterEach(closeProxies)
afterEach(closeNginx)

const NCHAN = `
  location /publish { nchan_publisher; nchan_channel_id news; nchan_message_buffer_length 1000; nchan_message_timeout 1h; }
  location /news {
    nchan_subscriber eventsource; nchan_channel_id news; nchan_subscriber_first_message oldest;
    nchan_eventsource_ping_interval 1;
  }`

async function publish(nginx: Nginx, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) {
    // A reload would close what is kept alive just as it is used again.
    const headers = { connection: 'close' }
    const { status } = await fetch(nginx.url('/publish'), { method: 'POST', body: `${n}`, headers })
    expect([201, 202]).toContain(status)
  }
}

/** An id is the second and a number in it; one worker that begins anew has forgotten which ones it gave in this second. */
function nextSecond(): Promise<unknown> {
  const second = Math.floor(Date.now() / 1_000)
  return until(() => Math.floor(Date.now() / 1_000) > second, 'the next second')
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, at) => at + 1)

describe.each(readerNames)('%s that follows nchan', (name) => {
  test('hears each message once and in order over dropped connections', async () => {
    const nginx = await startNginx(NCHAN)
    const cuts = [300, 401, 530].map((after) => ({ breaks: { after, by: 'reset' as const } }))
    const proxy = await startFaultProxy(nginx.origin, cuts)
    await publish(nginx, 1, 3)
    const reader = readers[name](proxy.url('/news'))
    for (let n = 4; n <= 40; n += 4) await publish(nginx, n, n + 3)
    await until(() => reader.data.at(-1) === 43, { what: 'message 43' })
    proxy.breakAll('reset')
    await publish(nginx, 44, 50)
    await until(() => reader.data.at(-1) === 50, { what: 'message 50' })
    expect(reader.data).toEqual(upTo(50))
    expect(proxy.connections).toBe(cuts.length + 2)
  })

  test('hears on over a reload, and what is published after a restart', async () => {
    const nginx = await startNginx(NCHAN)
    const reader = readers[name](nginx.url('/news'))
    await until(() => reader.isOpen)
    await publish(nginx, 1, 5)
    await nginx.reload()
    await nextSecond()
    await publish(nginx, 6, 10)
    await until(() => reader.data.at(-1) === 10, { what: 'message 10' })
    await nginx.stop()
    await until(() => reader.losses.length > 0)
    await nginx.start()
    await until(() => reader.isOpen)
    await nextSecond()
    await publish(nginx, 11, 15)
    await until(() => reader.data.at(-1) === 15, { what: 'message 15' })
    expect(reader.data).toEqual(upTo(15))
  })
})
