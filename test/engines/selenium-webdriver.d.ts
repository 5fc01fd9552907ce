/** The few parts that these tests use: the package has no types of its own. */
declare module 'selenium-webdriver' {
  export class Builder {
    usingServer(url: string): this
    withCapabilities(capabilities: Readonly<Record<string, unknown>>): this
    build(): Promise<WebDriver>
  }
  export interface WebDriver {
    getCapabilities(): Promise<{ get(name: string): unknown }>
    manage(): { setTimeouts(timeouts: { script: number; pageLoad: number }): Promise<void> }
    getWindowHandle(): Promise<string>
    switchTo(): { window(handle: string): Promise<void>; newWindow(type: 'tab' | 'window'): Promise<void> }
    navigate(): { to(url: string): Promise<void>; back(): Promise<void>; refresh(): Promise<void> }
    executeAsyncScript<T>(script: string): Promise<T>
    close(): Promise<void>
    quit(): Promise<void>
  }
}
