'use client'

export { MillraceProvider, type MillraceProviderProps, useClient } from './provider'
export { type ChannelResult, type UseChannelOptions, useChannel } from './use-channel'
export { type UseEventsOptions, useEvents } from './use-events'
export { type JsonResult, type UseJsonOptions, useJson } from './use-json'
export { useStats } from './use-stats'
