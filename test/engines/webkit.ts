import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { Builder, type WebDriver } from 'selenium-webdriver'
import { until } from '../support/until'
import { ensurePrograms, type Program } from '../tools/debian-program'
import type { Engine } from './engine'

const driverProgram: Program = {
  name: "WebKitGTK's WebDriver",
  commands: ['WebKitWebDriver'],
  debianPackage: 'webkit2gtk-driver',
  variable: 'WEBKIT_DRIVER_PATH',
}
const screenProgram: Program = {
  name: 'a screen without a monitor',
  commands: ['xvfb-run'],
  debianPackage: 'xvfb',
  variable: 'XVFB_RUN_PATH',
}

type Settled<T> = { value: T } | { error: string }

/** WebKitGTK's MiniBrowser over classic WebDriver. Each page has a window of its own, so that all are seen. */
export async function startWebKit(): Promise<Engine> {
  const [driverPath, xvfbRun] = ensurePrograms(driverProgram, screenProgram) as [string, string]
  const port = await freePort()
  // A group of its own, for xvfb-run is a script that passes no signal on.
  const child = spawn(xvfbRun, ['--auto-servernum', driverPath, `--port=${port}`], { detached: true, stdio: 'ignore' })
  const exited = once(child, 'exit')
  const url = `http://127.0.0.1:${port}`
  const driver = await connect(url, child)
  const next = oneByOne()
  // Stays open: the browser ends with its last window.
  const first = await driver.getWindowHandle()

  return {
    name: 'WebKit',
    version: String((await driver.getCapabilities()).get('browserVersion')),
    async openPage(at) {
      const handle = await next(async () => {
        await driver.switchTo().window(first)
        await driver.switchTo().newWindow('window')
        await driver.navigate().to(at)
        return driver.getWindowHandle()
      })
      const inTab = <T>(act: () => Promise<T>): Promise<T> =>
        next(async () => {
          await driver.switchTo().window(handle)
          return act()
        })
      return {
        evaluate: <T>(expression: string) => inTab(() => evaluate<T>(driver, expression)),
        navigate: (to) => inTab(() => driver.navigate().to(to)),
        back: () => inTab(() => driver.navigate().back()),
        reload: () => inTab(() => driver.navigate().refresh()),
        close: () => inTab(() => driver.close()),
      }
    },
    async close() {
      await next(() => driver.quit())
      process.kill(-child.pid!)
      await exited
    },
  }
}

async function connect(url: string, child: ChildProcess): Promise<WebDriver> {
  try {
    await until(async () => (await fetch(`${url}/status`)).ok, { what: 'the driver to listen', within: 20_000 })
    const driver = await new Builder().usingServer(url).withCapabilities({ browserName: 'MiniBrowser' }).build()
    await driver.manage().setTimeouts({ script: 120_000, pageLoad: 30_000 })
    return driver
  } catch (error) {
    process.kill(-child.pid!)
    throw error
  }
}

async function evaluate<T>(driver: WebDriver, expression: string): Promise<T> {
  const settled = await driver.executeAsyncScript<Settled<T>>(`
    const settle = arguments[arguments.length - 1]
    new Promise((resolve) => resolve((0, eval)(${JSON.stringify(expression)}))).then(
      (value) => settle({ value: value ?? null }),
      (error) => settle({ error: String(error) }),
    )`)
  if ('error' in settled) throw new Error(settled.error)
  return settled.value
}

/** A session has one current window: who acts in it waits until the one before has done. */
function oneByOne(): <T>(act: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (act) => {
    const result = last.then(act, act)
    last = result.catch(() => {})
    return result
  }
}

/** The driver needs to be told its port. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
