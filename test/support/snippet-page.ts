import './dom'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format } from 'node:util'
import { EventSource } from 'eventsource'
import type { Window } from 'happy-dom'
import { type Alert, getClient } from 'millrace'
import { vi } from 'vitest'
import type { Snippet } from './snippets'

const SINGLETON = Symbol.for('millrace')
const FOLDER = join('test', '.snippets', `${process.pid}-${process.env.VITEST_POOL_ID ?? 0}`)
const page = window as unknown as Window
const { fetch } = globalThis

/** The page of a snippet, which thinks that it is at this address. */
export function openPage(origin: string) {
  page.happyDOM.setURL(`${origin}/`)
  const pageFetch: typeof fetch = (input, init) =>
    fetch(typeof input === 'string' ? new URL(input, document.baseURI) : input, init)
  const logged: string[] = []
  const complaints: string[] = []
  const complain = (...said: unknown[]) => void complaints.push(format(...said))
  vi.stubGlobal('EventSource', EventSource)
  vi.stubGlobal('localStorage', page.localStorage)
  vi.stubGlobal('fetch', pageFetch)
  Object.assign(window, { fetch: pageFetch })
  vi.stubGlobal('reportError', complain)
  vi.spyOn(console, 'error').mockImplementation(complain)
  vi.spyOn(console, 'warn').mockImplementation(complain)
  vi.spyOn(console, 'log').mockImplementation((...said) => void logged.push(format(...said)))
  getClient().on('alert', ({ code, message }: Alert) => complain(code, message))

  return {
    logged,
    /** What a user or a developer should not have seen: errors, warnings, alerts. */
    complaints,
    /** All that is shown, and all that was logged. */
    get seen() {
      return [document.body.textContent, ...logged].join('\n')
    },
    close() {
      getClient().close()
      Reflect.deleteProperty(globalThis, SINGLETON)
      document.body.replaceChildren()
      vi.restoreAllMocks()
      vi.unstubAllGlobals()
    },
  }
}

/** Puts a file beside the snippets; returns where. */
export function put(name: string, code: string): string {
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(join(FOLDER, name), code)
  return join(process.cwd(), FOLDER, name)
}

/** Runs it as a module, and returns what it exports. */
export function run({ name, language }: Omit<Snippet, 'file'>, code: string): Promise<Record<string, unknown>> {
  return import(/* @vite-ignore */ put(`${name.replace(/\W+/g, '-')}.${language}`, code))
}

/** For `afterAll`. */
export function removeSnippets(): void {
  rmSync(FOLDER, { recursive: true, force: true })
}
