import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { servePages, startBrowser, type TestBrowser } from '../support/browser'
import { closeServers, startStream } from '../support/http-server'
import { until } from '../support/until'
import { integrityOf } from '../tools/integrity'

// No inline script, no eval, and no text that becomes HTML: the strictest page there is.
const CSP = "default-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
const EVIL = '<img src=x onerror="document.title=1"><b>bold</b>'

declare const Millrace: typeof import('millrace')

let browser: TestBrowser
let errors = 0
beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser?.close())
afterEach(async () => {
  await Promise.all(browser.context.pages().map((page) => page.close()))
  await closeServers()
})

/** A page with the script tag and this body, whose `/script.js` runs after it; `send` writes to its streams. */
async function open(body: string, script = 'Millrace.mount()') {
  const streams = new Map<string, Set<(text: string) => void>>()
  const html = `<!doctype html><meta http-equiv="content-security-policy" content="${CSP}">
    <link rel="icon" href="/icon"><title>0</title><body>${body}<script src="/millrace.global.js"></script><script src="/script.js"></script>`
  const server = await servePages(
    { '/': html, '/script.js': script, '/icon': '' },
    {
      folder: resolve('dist'),
      handler({ url }, response) {
        if (!url.startsWith('/stream')) return response.writeHead(404).end()
        startStream(response)
        const writers = streams.get(url) ?? new Set()
        const write = (text: string) => response.write(text)
        streams.set(url, writers.add(write))
        response.once('close', () => writers.delete(write))
      },
    },
  )
  errors = browser.errors.length
  const page = await browser.openPage(server.url())
  const openAt = (path: string) => streams.get(path)?.size ?? 0
  return {
    page,
    server,
    openAt,
    async send(path: string, data: unknown, event?: string) {
      await until(() => openAt(path) > 0)
      const text = `${event ? `event: ${event}\n` : ''}data: ${JSON.stringify(data)}\n\n`
      for (const write of streams.get(path)!) write(text)
    },
    /** All in one chunk, as a stream that catches up sends them. */
    async sendAll(path: string, list: readonly unknown[]) {
      await until(() => openAt(path) > 0)
      for (const write of streams.get(path)!) write(list.map((data) => `data: ${JSON.stringify(data)}\n\n`).join(''))
    },
    said: () => browser.errors.slice(errors),
  }
}
const textOf = (page: Page, selector: string) => page.locator(selector).textContent()

describe('mount, under a strict content security policy', () => {
  test('shows the text of the events that an element names, and how its stream is doing', async () => {
    const { page, send, server, said } = await open(
      `<output id="price" data-millrace="/stream" data-millrace-event="price" data-millrace-text="quote.last"></output>
       <output id="any" data-millrace="/stream"></output>
       <output id="missing" data-millrace="/stream" data-millrace-text="nowhere.to.be.found">before</output>`,
    )
    await until(async () => (await page.locator('[data-millrace-status="live"]').count()) === 3)
    await send('/stream', { quote: { last: 1.5 } }, 'price')
    await until(async () => (await textOf(page, '#price')) === '1.5')
    await until(async () => (await textOf(page, '#any')) === '{"quote":{"last":1.5}}')
    expect(await textOf(page, '#missing')).toBe('')
    await send('/stream', { quote: { last: 2 } }, 'other')
    await until(async () => (await textOf(page, '#any')) === '{"quote":{"last":2}}')
    expect(await textOf(page, '#price')).toBe('1.5')
    // Three elements with one URL are one connection.
    expect(server.requests.filter(({ url }) => url === '/stream')).toHaveLength(1)
    expect(said()).toEqual([])
  })

  test('never makes HTML of a text, whatever comes', async () => {
    const { page, send, said } = await open(
      `<output id="all" data-millrace="/stream"></output><output id="field" data-millrace="/stream" data-millrace-text="name"></output>`,
    )
    await send('/stream', { name: EVIL })
    await until(async () => (await textOf(page, '#field')) === EVIL)
    await send('/stream', EVIL)
    await until(async () => (await textOf(page, '#all')) === EVIL)
    expect(await page.locator('output *').count()).toBe(0)
    expect(await page.title()).toBe('0')
    expect(said()).toEqual([])
  })

  test('reaches no names that every object has', async () => {
    const { page, send } = await open(
      `<output id="a" data-millrace="/stream" data-millrace-text="constructor.name">-</output>
       <output id="b" data-millrace="/stream" data-millrace-text="__proto__.toString">-</output>`,
    )
    await send('/stream', { n: 1 })
    await until(async () => (await textOf(page, '#a')) === '' && (await textOf(page, '#b')) === '')
  })

  test('keeps up with nodes that come, change and go', async () => {
    const { page, send, openAt, said } = await open('<main></main>')
    await page.evaluate(() => {
      const section = document.createElement('section')
      const output = document.createElement('output')
      output.dataset.millrace = '/stream'
      output.id = 'late'
      section.append(output)
      document.querySelector('main')!.append(section)
    })
    await send('/stream', 'first')
    await until(async () => (await textOf(page, '#late')) === 'first')

    // Moved within the page, it stays what it was.
    await page.evaluate(() => document.body.prepend(document.querySelector('#late')!))
    await send('/stream', 'moved')
    await until(async () => (await textOf(page, '#late')) === 'moved')
    expect(openAt('/stream')).toBe(1)

    await page.evaluate(() => document.querySelector('#late')!.setAttribute('data-millrace', '/stream?other'))
    await send('/stream?other', 'second')
    await until(async () => (await textOf(page, '#late')) === 'second')
    await until(() => openAt('/stream') === 0, 'the end of the stream that nobody shows')

    await page.evaluate(() => document.querySelector('#late')!.remove())
    await until(() => openAt('/stream?other') === 0, 'the end of the other one')
    expect(said()).toEqual([])
  })

  test('says in the console what is wrong with an attribute, and shows the rest', async () => {
    const { page, send, said } = await open(
      `<output data-millrace=""></output>
       <output data-millrace="/stream" data-millrace-text="a..b"></output>
       <output class="c" data-millrace="http://[bad"></output>
       <output id="typed" data-millrace="/stream" data-millrace-event=""></output>
       <output id="lost" data-millrace-text="name"></output>
       <output id="good" data-millrace="/stream"></output>`,
    )
    await send('/stream', 'fine')
    await until(async () => (await textOf(page, '#good')) === 'fine')
    const told = said().filter((text) => text.startsWith('[millrace]'))
    expect(told).toHaveLength(5)
    expect(told[0]).toContain('<output>: expected `data-millrace` to be the URL of a stream, got ""')
    expect(told[1]).toContain('<output>: expected `data-millrace-text` to be names with dots between them, got "a..b"')
    expect(told[2]).toContain('<output>: Expected an absolute URL')
    expect(told[3]).toContain('<output#typed>: expected `data-millrace-event` to be the type of an event, got ""')
    expect(told[4]).toContain('<output#lost>: expected `data-millrace` to be the URL of a stream, got null')

    // Said once for each change, and over when it is put right.
    await page.evaluate(() => {
      const lost = document.querySelector('#lost')!
      lost.setAttribute('data-millrace-text', 'a..b')
      lost.setAttribute('data-millrace-event', 'x')
      lost.removeAttribute('data-millrace-event')
    })
    await until(() => said().filter((text) => text.startsWith('[millrace] <output#lost>')).length === 2)
    await page.evaluate(() => {
      const lost = document.querySelector('#lost')!
      lost.setAttribute('data-millrace', '/stream')
      lost.setAttribute('data-millrace-text', 'name')
    })
    await until(() => page.locator('#lost[data-millrace-status="live"]').count())
    await send('/stream', { name: 'found' })
    await until(async () => (await textOf(page, '#lost')) === 'found')
    expect(said().filter((text) => text.startsWith('[millrace]'))).toHaveLength(6)
  })

  test('holds on to nothing that has left its root, however it went', async () => {
    const { page, send, openAt, said } = await open(
      '<main><output id="o" data-millrace="/stream"></output></main><aside></aside>',
      `Millrace.mount(document.querySelector('main'))`,
    )
    const stays = async (what: string) => {
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
      const active = await page.evaluate(() => Millrace.getClient().stats().subscriptions.active)
      expect(active, what).toBe(0)
      expect(await page.locator('[data-millrace-status]').count(), what).toBe(0)
    }
    const shows = async (text: string) => {
      await until(() => page.locator('#o[data-millrace-status="live"]').count())
      await send('/stream', text)
      await until(async () => (await textOf(page, '#o')) === text)
    }
    await shows('first')
    await page.evaluate(() => document.querySelector('aside')!.append(document.querySelector('#o')!))
    await stays('moved out of the root')
    await page.evaluate(() => document.querySelector('main')!.append(document.querySelector('#o')!))
    await shows('second')
    await page.evaluate(() => {
      const output = document.querySelector('#o')!
      output.remove()
      output.setAttribute('data-millrace-text', 'name')
    })
    await stays('removed, then changed')
    await page.evaluate(() => {
      const section = document.createElement('section')
      section.append(document.createElement('output'))
      document.querySelector('main')!.append(section)
      section.firstElementChild!.setAttribute('data-millrace', '/stream')
      section.remove()
    })
    await stays('added and removed at once')
    await until(() => openAt('/stream') === 0, 'the end of the stream')
    expect(said()).toEqual([])
  })

  test('is not disturbed by attributes that are set to what they are', async () => {
    const { page, send } = await open('<output id="o" data-millrace="/stream"></output>')
    await send('/stream', 'shown')
    await until(async () => (await textOf(page, '#o')) === 'shown')
    const total = () => page.evaluate(() => Millrace.getClient().stats().subscriptions.total)
    const before = await total()
    await page.evaluate(async () => {
      for (let n = 0; n < 100; n += 1) {
        document.querySelector('#o')!.setAttribute('data-millrace', '/stream')
        await Promise.resolve()
      }
    })
    expect(await total()).toBe(before)
  })

  test('ends with its unmount', async () => {
    const { page, send, openAt } = await open(
      '<output id="o" data-millrace="/stream"></output>',
      'window.unmount = Millrace.mount()',
    )
    await send('/stream', 'shown')
    await until(async () => (await textOf(page, '#o')) === 'shown')
    await page.evaluate(() => (window as never as { unmount(): void }).unmount())
    await until(() => openAt('/stream') === 0)
    expect(await page.locator('[data-millrace-status]').count()).toBe(0)
    await page.evaluate(() => {
      const output = document.createElement('output')
      output.dataset.millrace = '/stream'
      document.body.append(output)
    })
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
    expect(openAt('/stream')).toBe(0)
  })
})

describe('bind', () => {
  test('renders now and at every change, at most once a frame, until it is unbound', async () => {
    const { page, sendAll, openAt, said } = await open(
      '<p id="list"></p>',
      `const channel = Millrace.defineChannel({ key: 'list', stream: '/stream', initial: [], reduce: (list, { data }) => [...list, data] })
       window.renders = 0
       window.unbind = Millrace.bind(document.querySelector('#list'), channel, ({ data }, element) => {
         window.renders += 1
         element.textContent = data.join()
       })`,
    )
    await until(async () => (await page.locator('#list').getAttribute('data-millrace-status')) === 'live')
    const before = await page.evaluate(() => (window as never as { renders: number }).renders)
    const numbers = Array.from({ length: 50 }, (_, n) => n)
    await sendAll('/stream', numbers)
    const all = numbers.join()
    await until(async () => (await textOf(page, '#list')) === all)
    const renders = (await page.evaluate(() => (window as never as { renders: number }).renders)) - before
    expect(renders).toBeGreaterThan(0)
    expect(renders).toBeLessThan(50)

    await page.evaluate(() => (window as never as { unbind(): void }).unbind())
    await until(() => openAt('/stream') === 0)
    expect(await textOf(page, '#list')).toBe(all)
    expect(await page.locator('[data-millrace-status]').count()).toBe(0)
    expect(said()).toEqual([])
  })
})

describe('the script tag', () => {
  const file = resolve('dist/millrace.global.js')

  test('shares its client with the module that the same page imports', async () => {
    const { page, server, said } = await open(
      '<output id="o" data-millrace="/stream"></output>',
      `Millrace.mount()
       import('/index.js').then(({ getClient, defineChannel, subscribe }) => {
         subscribe('/stream', {})
         window.same = getClient() === Millrace.getClient() && defineChannel !== Millrace.defineChannel
       })`,
    )
    await until(() => page.evaluate(() => 'same' in window))
    expect(await page.evaluate(() => (window as never as { same: boolean }).same)).toBe(true)
    await until(() => page.locator('#o[data-millrace-status="live"]').count())
    expect(await page.evaluate(() => Millrace.getClient().stats().channels[0]?.subscribers.length)).toBe(2)
    expect(server.requests.filter(({ url }) => url === '/stream')).toHaveLength(1)
    expect(said()).toEqual([])
  })

  test('loads with its integrity, and not with another one', async () => {
    const tag = (integrity: string) =>
      `<!doctype html><link rel="icon" href="/icon"><script src="/millrace.global.js" integrity="${integrity}"></script>`
    const server = await servePages(
      { '/good': tag(integrityOf(readFileSync(file))), '/bad': tag(integrityOf('another file')), '/icon': '' },
      { folder: resolve('dist') },
    )
    const has = async (path: string) => (await browser.openPage(server.url(path))).evaluate(() => 'Millrace' in window)
    expect(await has('/good')).toBe(true)
    expect(await has('/bad')).toBe(false)
  })
})
