export type { BackoffOptions } from './primitives/backoff'
export type { Clock } from './primitives/clock'
export { isMillraceError, MillraceError, type MillraceErrorCode } from './primitives/errors'
export {
  ReconnectingEventSource,
  type ReconnectingEventSourceErrorEvent,
  type ReconnectingEventSourceEventMap,
  type ReconnectingEventSourceInit,
} from './reconnecting-event-source'
