import type { StreamSink } from '../stream-source'

/** A sink that wants nothing for itself. */
export const onlooker: StreamSink = {
  key: '',
  again: false,
  idleTimeout: () => undefined,
  maxEventBytes: () => 0,
  connectTimeout: () => undefined,
  reconnect: () => undefined,
  streamWhenHidden: () => 'pause',
  hasFallback: () => false,
  label: () => '',
  onStream() {},
  onMessages() {},
  onRestart() {},
  onGap() {},
  wanted: () => undefined,
  given: () => undefined,
  take() {},
}
