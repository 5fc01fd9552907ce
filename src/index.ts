export type {
  ChannelStats,
  ChannelStore,
  Client,
  ClientEvents,
  ClientOptions,
  EndpointStats,
  Flags,
  Stats,
  Thresholds,
} from './client/api'
export { createClient } from './client/create-client'
export { configure, coordinatedFetch, events, getClient, json, stats, subscribe } from './client/page-client'
export { noStats } from './client/stats'
export type { BreakerOptions } from './network/breaker'
export type { Coordination } from './network/coordinated-fetch'
export type { Limits } from './network/limits'
export type { Policy, PolicyRequest, Priority } from './network/request'
export type { CacheOptions } from './network/response-cache'
export type { HeaderSource, RequestRecord } from './network/settings'
export type { Alert, AlertCode } from './primitives/alerts'
export type { BackoffOptions } from './primitives/backoff'
export type { Clock, PendingTimer } from './primitives/clock'
export type { Environment } from './primitives/environment'
export { isMillraceError, MillraceError, type MillraceErrorCode, type MillraceErrorDetails } from './primitives/errors'
export { urlKey } from './primitives/url'
export {
  ReconnectingEventSource,
  type ReconnectingEventSourceErrorEvent,
  type ReconnectingEventSourceEventMap,
  type ReconnectingEventSourceInit,
  type ReconnectingEventSourceServerEvent,
} from './reconnecting-event-source'
export type { ChannelState, ChannelStatus } from './registry/channel-state'
export {
  type Channel,
  type CommonOptions,
  type DefineChannel,
  defineChannel,
  type EventOf,
  type Normalized,
  type NormalizedEvent,
  type NormalizedId,
  type Position,
  type RawMessage,
  type Schemas,
  type StreamEvent,
} from './registry/define-channel'
export type { EventsOptions } from './registry/event-iterator'
export type { SubscriberRecord } from './registry/registry'
export type { Rollout } from './registry/registry-context'
export type { Delivery, Observer, SubscribeOptions, Subscription } from './registry/subscriber'
export type { PauseReason } from './sources/conditions'
export type { Target, TargetRequest } from './sources/target'
export {
  createView,
  type JsonOptions,
  jsonChannel,
  type Look,
  type MaybeChannel,
  type Seen,
  type View,
  type ViewOptions,
} from './view'
