/**
 * Whether options are what they must be: the types say so too, but the script tag has none, and a number that is none (an
 * interval of NaN) would pass every bound there is. What is `undefined` is not given.
 */
import { configError } from './errors'
import { printable } from './printable'

interface Rule {
  readonly type: string
  holds(value: unknown): boolean
}

/** What came may be a secret: only its kind is told. */
const SECRET = /^(identity|lastEventId|headers|body)$/

const parsed = /* @__PURE__ */ new Map<string, Map<string, Rule>>()

/**
 * Refuses the first option that is not what `rules` say; `group` names what they are a part of. Names without a rule are
 * not looked at: an object may be spread that has more to say.
 *
 * @throws MillraceError `config`
 */
export function check(rules: string, given: unknown, group = ''): void {
  if (given === undefined) return
  if (typeof given !== 'object' || given === null)
    throw configError(`\`${group.slice(0, -1) || 'options'}: object\``, shown(given))
  const known = parsed.get(rules) ?? parse(rules)
  const others = known.get('*')
  for (const name in given) {
    const value = (given as Record<string, unknown>)[name]
    // What somebody has added to all objects of the page is no option.
    if (value === undefined || !Object.hasOwn(given, name)) continue
    const rule = known.get(name) ?? others
    if (rule && !rule.holds(value))
      throw configError(`\`${group}${name}: ${rule.type}\``, SECRET.test(name) ? kindOf(value) : shown(value))
  }
}

function parse(rules: string): Map<string, Rule> {
  const found = new Map<string, Rule>()
  for (const [, names, type] of rules.matchAll(/(\S.*): (.+)/g) as Iterable<[string, string, string]>) {
    const holds = type
      .split(' | ')
      .map(testOf)
      .reduce((one, other) => (value) => one(value) || other(value))
    for (const name of names.split(' ')) found.set(name, { type, holds })
  }
  parsed.set(rules, found)
  return found
}

/** Of `number > 0`, `Clock { now, after }`, a kind such as `string`, or a value such as `"none"` or `false`. */
function testOf(type: string): Rule['holds'] {
  const members = /\{ (.+) \}/.exec(type)?.[1]?.split(', ')
  if (members) return (value) => members.every((name) => Object(value)[name] !== undefined)
  if (type.startsWith('number')) {
    const bound = (sign: string, none: number) => Number(new RegExp(`${sign} (\\d+)`).exec(type)?.[1] ?? none)
    const [above, least, most] = [bound('>', -Infinity), bound('>=', -Infinity), bound('<=', Infinity)] as const
    // None of it holds for NaN.
    return (value) => typeof value === 'number' && value > above && value >= least && value <= most
  }
  if (type === 'array') return Array.isArray
  if (/^(string|boolean|function|object)$/.test(type)) return (value) => typeof value === type && value !== null
  const only: unknown = JSON.parse(type)
  return (value) => value === only
}

/** The defaults with what is given over them; what is given as `undefined` is not given. */
export function withDefaults<T extends object>(
  defaults: T,
  given: { readonly [K in keyof T]?: T[K] | undefined } = {},
): T {
  const chosen = { ...defaults }
  for (const name of Object.keys(defaults) as (keyof T)[]) chosen[name] = given[name] ?? defaults[name]
  return chosen
}

/** What came, fit for a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(printable(value))
  return value === null || /number|boolean|undefined|bigint/.test(typeof value) ? String(value) : kindOf(value)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  const kind = Array.isArray(value) ? 'array' : typeof value
  return `${/^[ao]/.test(kind) ? 'an' : 'a'} ${kind}`
}
