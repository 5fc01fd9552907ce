/**
 * What every option must be, whichever door it comes by: the types say so too, but the script tag has none, and a number
 * that is none (an interval of NaN) would pass every bound there is.
 *
 * What is `undefined` is not given. `null` is taken only where it has a meaning (`identity`, `signal`, `body`).
 */
import { configError } from './errors'
import { printable } from './printable'

interface Rule {
  readonly expected: string
  readonly holds: (value: never) => boolean
  /** What came may be a secret: only its kind is told. */
  readonly isSecret?: true
}

const rule = (expected: string, holds: (value: never) => boolean, isSecret?: true): Rule => ({
  expected,
  holds,
  ...(isSecret && { isSecret }),
})
const isNumber = (value: unknown): value is number => typeof value === 'number'

const positive = /* @__PURE__ */ rule('a positive number', (value: unknown) => isNumber(value) && value > 0)
const atLeastZero = /* @__PURE__ */ rule('a number of at least 0', (value: unknown) => isNumber(value) && value >= 0)
const atLeastOne = /* @__PURE__ */ rule('a number of at least 1', (value: unknown) => isNumber(value) && value >= 1)
const percent = /* @__PURE__ */ rule(
  'a number from 0 to 100',
  (value: unknown) => isNumber(value) && value >= 0 && value <= 100,
)
const orFalse = /* @__PURE__ */ rule(
  'a positive number of ms, or false',
  (value: unknown) => value === false || (isNumber(value) && value > 0),
)
const yesOrNo = /* @__PURE__ */ rule('true or false', (value: unknown) => typeof value === 'boolean')
const text = /* @__PURE__ */ rule('a string', (value: unknown) => typeof value === 'string')
const run = /* @__PURE__ */ rule('a function', (value: unknown) => typeof value === 'function')
const secretText = /* @__PURE__ */ rule(
  'a string or null',
  (value: unknown) => typeof value === 'string' || value === null,
  true,
)
const object = /* @__PURE__ */ rule('an object', (value: unknown) => typeof value === 'object' && value !== null)
const list = /* @__PURE__ */ rule('an array', (value: unknown) => Array.isArray(value))

function oneOf(...words: readonly unknown[]): Rule {
  const names = words.map((word) => (typeof word === 'string' ? word : String(word)))
  const last = names.pop()
  return rule(`${names.join(', ')} or ${last}`, (value: unknown) => words.includes(value))
}

/** The rule of every option, by its name: one name means the same at each door. */
const RULES: Readonly<Record<string, Rule>> = {
  // ms
  interval: atLeastZero,
  timeout: positive,
  connectTimeout: positive,
  idleTimeout: orFalse,
  grace: atLeastZero,
  keep: atLeastZero,
  ttl: atLeastZero,
  staleIfError: atLeastZero,
  base: positive,
  cap: positive,
  resetAfter: atLeastZero,
  window: atLeastZero,
  cooldown: atLeastZero,
  lag: atLeastZero,
  alertEvery: atLeastZero,
  // How many, and how much
  factor: positive,
  failures: atLeastZero,
  backgroundPerMinute: positive,
  burst: positive,
  fetchesPer10s: positive,
  concurrency: positive,
  queue: atLeastZero,
  streams: atLeastZero,
  entries: atLeastZero,
  bytes: atLeastZero,
  memory: atLeastZero,
  errorRate: atLeastZero,
  maxEventBytes: positive,
  buffer: atLeastOne,
  retry: atLeastZero,
  percent,
  // Words
  environment: /* @__PURE__ */ oneOf('development', 'production', 'docker', 'test'),
  jitter: /* @__PURE__ */ oneOf('full', 'none'),
  fallback: /* @__PURE__ */ oneOf('poll', 'none'),
  share: /* @__PURE__ */ oneOf('tabs', 'page'),
  whenHidden: /* @__PURE__ */ oneOf('keep', 'pause'),
  delivery: /* @__PURE__ */ oneOf('each', 'frame', 'latest'),
  priority: /* @__PURE__ */ oneOf('high', 'normal', 'low'),
  reconnect: /* @__PURE__ */ oneOf('always', 'resume', 'never'),
  parse: /* @__PURE__ */ oneOf('json', 'text'),
  credentials: /* @__PURE__ */ oneOf('omit', 'same-origin', 'include'),
  debug: /* @__PURE__ */ oneOf(true, false, 'verbose'),
  overflow: /* @__PURE__ */ rule(
    'drop-oldest, drop-newest, error, or a function',
    (value: unknown) => typeof value === 'function' || /^(drop-oldest|drop-newest|error)$/.test(String(value)),
  ),
  // Yes or no
  enabled: yesOrNo,
  exclusive: yesOrNo,
  dedupe: yesOrNo,
  replay: yesOrNo,
  streaming: yesOrNo,
  tabs: yesOrNo,
  cache: yesOrNo,
  breaker: yesOrNo,
  guard: yesOrNo,
  coordination: yesOrNo,
  // Names
  label: text,
  group: text,
  id: text,
  method: text,
  identity: secretText,
  lastEventId: /* @__PURE__ */ rule('a string', (value: unknown) => typeof value === 'string', true),
  version: /* @__PURE__ */ rule('a string or a number', (value: unknown) =>
    isNumber(value) ? !Number.isNaN(value) : typeof value === 'string',
  ),
  // Functions and what is made of them
  reduce: run,
  until: run,
  done: run,
  sequence: run,
  normalize: run,
  fromSnapshot: run,
  position: run,
  onUnauthorized: run,
  fetch: run,
  select: run,
  isEqual: run,
  onEvent: run,
  onError: run,
  next: run,
  batch: run,
  state: run,
  error: run,
  complete: run,
  clock: /* @__PURE__ */ rule('a clock with `now`, `random`, `after` and `frame`', (value: object | null) =>
    ['now', 'random', 'after', 'frame'].every(
      (name) => typeof (value as Record<string, unknown> | null)?.[name] === 'function',
    ),
  ),
  schema: /* @__PURE__ */ rule('a Standard Schema (zod, valibot, arktype …)', isSchema),
  signal: /* @__PURE__ */ rule(
    'an AbortSignal',
    (value: { aborted?: unknown } | null) => value === null || typeof value?.aborted === 'boolean',
  ),
  headers: /* @__PURE__ */ rule(
    'headers, or a function that answers them',
    (value: unknown) => typeof value === 'function' || (typeof value === 'object' && value !== null),
    true,
  ),
  body: /* @__PURE__ */ rule(
    'a body, or a function that answers one',
    (value: unknown) => !/^(number|boolean|symbol|bigint)$/.test(typeof value),
    true,
  ),
  only: list,
  origins: list,
}

/** The groups of options of a client, checked part by part. */
const GROUPS = ['backoff', 'limits', 'thresholds', 'flags', 'rollout'] as const

export function isSchema(value: unknown): boolean {
  return typeof (value as { '~standard'?: { validate?: unknown } } | null)?.['~standard']?.validate === 'function'
}

/**
 * Refuses the first option that is not what it must be; `prefix` names the group that they are of. Names without a rule
 * are not looked at: an object may be spread that has more to say.
 *
 * @throws MillraceError `config`
 */
export function check(prefix: string, given: unknown): void {
  if (given === undefined) return
  // A function has properties, too: an observer may be one.
  if (!object.holds(given as never)) throw refusal(prefix.replace(/\.$/, '') || 'the options', object, given)
  for (const name in given as object) {
    const value = (given as Record<string, unknown>)[name]
    const of = RULES[name]
    if (value !== undefined && of && Object.hasOwn(RULES, name) && !of.holds(value as never))
      throw refusal(prefix + name, of, value)
  }
}

/** The options of a client, whose groups have rules of their own. */
export function checkClient({ breaker, cache, ...options }: Record<string, unknown>): void {
  check('', options)
  // Groups here, and flags below.
  check('breaker.', breaker)
  check('cache.', cache)
  for (const name of GROUPS) check(`${name}.`, options[name])
}

/** The defaults with what is given over them; what is given as `undefined` is not given. */
export function withDefaults<T extends object>(
  defaults: T,
  given: { readonly [K in keyof T]?: T[K] | undefined } = {},
): T {
  const chosen = { ...defaults }
  for (const name in defaults) chosen[name] = given[name] ?? defaults[name]
  return chosen
}

function refusal(name: string, { expected, isSecret }: Rule, value: unknown): Error {
  return configError(`\`${name}\` to be ${expected}`, isSecret ? kindOf(value) : shown(value))
}

/** What came, fit for a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(printable(value))
  return value === null || /number|boolean|undefined|bigint/.test(typeof value) ? String(value) : kindOf(value)
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  const kind = Array.isArray(value) ? 'array' : typeof value
  return `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`
}
