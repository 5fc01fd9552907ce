/** The one gate that every request passes (law 2), as a pipeline of policies. */
import { callbackError } from '../primitives/callback'
import { configError, isMillraceError, type MillraceError } from '../primitives/errors'
import { throwIfAborted, untilAborted } from '../primitives/until-aborted'
import { createBreaker } from './breaker'
import { budgetOf, createBudget } from './budget'
import { createEndpoints, type Endpoint } from './endpoint'
import { createFigures } from './figures'
import { createGuard } from './guard'
import { createQueue } from './queue'
import type { Next, OwnRequest, Passing, Policy, Step } from './request'
import { createSend } from './send'
import type { NetworkContext } from './settings'
import { createSwitch } from './switch'

export interface Gate {
  /** Sends one request, or rejects with the reason why not; an abort rejects with the signal's own reason. */
  send(request: OwnRequest): Promise<Response>
  /** From now on a policy of the user's stands around every request. Returns the end of it. */
  use(policy: Policy): () => void
  /** Work that `shut` and `abortAll` break off. Throws while the gate is shut. Returns the way out. */
  enter(breakOff: (reason: unknown) => void): () => void
  /** Breaks off all that has entered, then refuses everything until `open()`. */
  shut(reason: MillraceError): void
  open(): void
  /** Breaks off all that has entered, and goes on. */
  abortAll(reason: MillraceError): void
  /** Raises an endpoint's budget by what a source of it needs by itself, per minute. Returns the withdrawal. */
  claim(endpoint: string, perMinute: () => number): () => void
  /** Another tab refuses what is asked of this endpoint, for so many ms. */
  refuse(endpoint: string, ms: number, who: string): void
  /** Cached answers of this endpoint are read in a loop. */
  looped(endpoint: string, reads: number, who: string): void
  endpoints(): Iterable<Endpoint>
  /** Background requests per minute. */
  budgetOf(endpoint: Endpoint): number
}

export function createGate(context: NetworkContext): Gate {
  const { settings } = context
  const endpoints = createEndpoints()
  const door = createSwitch(context.counters)
  const guard = createGuard(context)
  const breaker = createBreaker(context, endpoints, door.isShut)
  const order: readonly Step[] = [
    breaker.early,
    guard.policy,
    createBudget(context),
    createQueue(context),
    breaker.policy,
    createFigures(context),
  ]
  const rest = order.reduceRight<Next<Passing>>(
    (next, policy) => (request) => policy(request, next),
    createSend(settings),
  )
  let users: readonly Policy[] = []

  return {
    send: (request) => users.reduceRight<Next<OwnRequest>>(around, enter)(request),
    use(policy) {
      if (typeof policy !== 'function') throw configError('a policy that is a function', typeof policy)
      // Used twice, it is called twice, and each use has an end of its own.
      const used: Policy = (request, next) => policy(request, next)
      users = [...users, used]
      return () => {
        users = users.filter((other) => other !== used)
      }
    },
    enter: door.enter,
    shut(reason) {
      door.shut(reason)
      breaker.watch()
    },
    open() {
      door.open()
      breaker.watch()
    },
    abortAll: door.abortAll,
    claim(name, perMinute) {
      const endpoint = endpoints.of(name)
      endpoint.claims ??= new Set()
      const { claims } = endpoint
      claims.add(perMinute)
      return () => claims.delete(perMinute)
    },
    refuse: (name, ms, who) => guard.refuse(endpoints.of(name), ms, who),
    looped: (name, reads, who) => guard.looped(endpoints.of(name), reads, who),
    endpoints: endpoints.all,
    budgetOf: (endpoint) => budgetOf(context, endpoint),
  }

  function enter(request: OwnRequest): Promise<Response> {
    return door.policy(request, () => {
      checkLimits()
      return rest({ ...request, at: endpoints.of(request.endpoint) })
    })
  }

  /** The last line of law 2, whatever came in by another door. */
  function checkLimits(): void {
    for (const [name, value] of Object.entries(settings.limits))
      if (typeof value !== 'number' || !(value >= 0))
        throw configError(`\`limits.${name}\` to be a number`, String(value))
  }
}

/** A user's policy is called as all of a user's functions are; how long it takes is the caller's to wait. */
function around(next: Next<OwnRequest>, policy: Policy): Next<OwnRequest> {
  return async (request) => {
    const { signal, endpoint } = request
    try {
      const answer = policy(request, (given) => next({ ...request, ...given }))
      const response = await untilAborted(Promise.resolve(answer), signal)
      if (typeof response?.status === 'number') return response
    } catch (error) {
      throwIfAborted(signal)
      throw isMillraceError(error) ? error : callbackError('policy', endpoint, 'threw', error)
    }
    throw callbackError('policy', endpoint, 'has answered no `Response`')
  }
}
