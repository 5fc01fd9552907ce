/** The one gate that every request passes (law 2), as a pipeline of policies. */
import { callbackError } from '../primitives/callback'
import { configError, isMillraceError } from '../primitives/errors'
import { throwIfAborted } from '../primitives/until-aborted'
import { createBreaker } from './breaker'
import { budgetOf, createBudget } from './budget'
import { createEndpoints, type Endpoint } from './endpoint'
import { createFigures } from './figures'
import { createGuard, type Guard } from './guard'
import { createQueue } from './queue'
import type { Next, OwnRequest, Passing, Policy, Step } from './request'
import { answerOf, createSend } from './send'
import type { NetworkContext } from './settings'
import { createSwitch, type Switch } from './switch'

export interface Gate extends Omit<Switch, 'pass'>, Omit<Guard, 'admit'> {
  /** Sends one request, or rejects with the reason why not; an abort rejects with the signal's own reason. */
  send(request: OwnRequest): Promise<Response>
  /** From now on a policy of the user's stands around every request. Returns the end of it. */
  use(policy: Policy): () => void
  /** Raises an endpoint's budget by what a source of it needs by itself, per minute. Returns the withdrawal. */
  claim(endpoint: string, perMinute: () => number): () => void
  endpoints(): Iterable<Endpoint>
  /** Background requests per minute. */
  budgetOf(endpoint: Endpoint): number
}

export function createGate(context: NetworkContext): Gate {
  const endpoints = createEndpoints()
  const breaker = createBreaker(context, endpoints)
  const door = createSwitch(context.counters, breaker.open)
  const guard = createGuard(context, endpoints)
  const budget = createBudget(context)
  const queue = createQueue(context)
  const figures = createFigures(context)
  const pipe = (...order: Step[]) =>
    order.reduceRight<Next<Passing>>((next, policy) => (request) => policy(request, next), createSend(context.settings))

  // Users' policies, the switch, and then:
  const plain = pipe(breaker.early, guard.admit, budget, queue, breaker.ask, figures)
  const stream = pipe(guard.admit, budget, figures)
  let users: readonly Policy[] = []

  return {
    ...door,
    ...guard,
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
    claim(name, perMinute) {
      const endpoint = endpoints.of(name)
      endpoint.claims ??= new Set()
      const { claims } = endpoint
      claims.add(perMinute)
      return () => claims.delete(perMinute)
    },
    endpoints: endpoints.all,
    budgetOf: (endpoint) => budgetOf(context, endpoint),
  }

  function enter(request: OwnRequest): Promise<Response> {
    return door.pass(request, () => {
      checkLimits()
      const next = request.stream ? stream : plain
      return next({ ...request, at: endpoints.of(request.endpoint) })
    })
  }

  /** The last line of law 2, whatever came in by another door. */
  function checkLimits(): void {
    for (const [name, value] of Object.entries(context.settings.limits))
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
      return await answerOf('policy', endpoint, answer, signal)
    } catch (error) {
      throwIfAborted(signal)
      throw isMillraceError(error) ? error : callbackError('policy', endpoint, 'threw', error)
    }
  }
}
