import type { EngineName } from '../conformance/case'

/** A browser, as narrow as the tests need it: what all engines can do by whatever drives them. */
export interface Engine {
  readonly name: EngineName
  readonly version: string
  /** Opens a tab and loads that URL. All tabs share one profile, and with it storage, locks and channels. */
  openPage(url: string): Promise<EnginePage>
  close(): Promise<void>
}

export interface EnginePage {
  /** What the expression, or the promise that it makes, comes to; it must be JSON. */
  evaluate<T>(expression: string): Promise<T>
  navigate(url: string): Promise<void>
  /** One step back in the tab's history, out of the back/forward cache where the engine has kept the page. */
  back(): Promise<void>
  reload(): Promise<void>
  close(): Promise<void>
}
