/** The script tag: `window.Millrace` has the core, `bind` and `mount`. */
import * as core from 'millrace'
import { bind, mount } from './index'

const Millrace: typeof core & { bind: typeof bind; mount: typeof mount } = { ...core, bind, mount }

declare global {
  interface Window {
    Millrace: typeof Millrace
  }
}

// A worker has no `window`.
Object.assign(globalThis, { Millrace })
