import { ask, waitFor } from '../primitives/callback'
import { check, shown } from '../primitives/check'
import type { Timers } from '../primitives/clock'
import { configError } from '../primitives/errors'
import { toHeaders } from '../primitives/http'
import { requestOptions } from '../primitives/options'
import { resolveUrl } from '../primitives/url'

/** A request, described. Functions are asked again at every attempt, and have 15 s to answer. */
export interface TargetRequest {
  url: string | URL
  /** @defaultValue 'GET' */
  method?: string | undefined
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined
  body?: string | (() => BodyInit | Promise<BodyInit>) | undefined
  credentials?: RequestCredentials | undefined
}

/**
 * Where live data comes from. A source's identity is its method, URL, string body, credentials and static headers, with
 * the client's `identity`; functions (of the headers, the body, the whole target) identify by the channel's key, since
 * what they answer is not known: two keys are two sources.
 */
export type Target = string | URL | TargetRequest | (() => Target | Promise<Target>)

/** A target whose URL is known. */
export interface ResolvedTarget {
  readonly url: URL
  readonly method: string
  readonly request: TargetRequest
}

/** @throws MillraceError `config` for what is neither a URL, nor a request, nor a function that answers one */
export function checkTarget(target: unknown): void {
  if (target === undefined || typeof target === 'function' || isUrl(target)) return
  const { url, ...request } = (target ?? {}) as Partial<TargetRequest>
  if (!isUrl(url))
    throw configError('a URL, `{ url }` with one, or a function that answers one', shown(target && typeof target))
  check(requestOptions, request)
}

/** Of any realm: known by its shape. An empty one would be the page itself. */
export function isUrl(value: unknown): value is string | URL {
  return value !== '' && (typeof value === 'string' || typeof (value as URL | null)?.href === 'string')
}

/** Whose functions are called: they have a limit, and what goes wrong in them has a name. */
export interface Owner {
  readonly clock: Pick<Timers, 'after'>
  readonly of: string
}

/** How often a target function may answer with another one. */
const DEEPEST = 8

/** A target that is no function. */
export function fixedTarget(
  target: Exclude<Target, (...args: never[]) => unknown>,
  baseUrl: string | URL | undefined,
): ResolvedTarget {
  checkTarget(target ?? null)
  const request = isUrl(target) ? { url: target } : target
  return { url: resolveUrl(request.url, baseUrl), method: (request.method ?? 'GET').toUpperCase(), request }
}

/** The target of an attempt. */
export async function resolveTarget(
  target: Target,
  baseUrl: string | URL | undefined,
  { clock, of }: Owner,
): Promise<ResolvedTarget> {
  let answer = target
  for (let depth = 0; typeof answer === 'function'; depth++) {
    if (depth > DEEPEST) throw configError('a target function that ends in a URL', 'functions without end')
    answer = await waitFor('target', of, clock, answer)
  }
  return fixedTarget(answer, baseUrl)
}

/** Two targets with the same identity are one source. */
export function targetIdentity(target: Target, channelKey: string, baseUrl: string | URL | undefined): string {
  if (typeof target === 'function') return `function ${channelKey}`
  const { url, method, request } = fixedTarget(target, baseUrl)
  const { headers, body, credentials } = request
  const named = typeof headers === 'function' ? channelKey : headers ? [...toHeaders(headers)] : []
  return JSON.stringify([method, url.href, typeof body === 'function' ? channelKey : body, credentials, named])
}

/** What an attempt is sent with, but for its headers. */
export async function initOf({ method, request }: ResolvedTarget, { clock, of }: Owner): Promise<RequestInit> {
  const body = await ask('body', request.body, clock, of)
  const { credentials } = request
  return { method, ...(body !== undefined && { body }), ...(credentials && { credentials }) }
}

/** The headers of an attempt. */
export function headersOf({ request }: ResolvedTarget, { clock, of }: Owner): Promise<HeadersInit | undefined> {
  return ask('headers', request.headers, clock, of)
}
