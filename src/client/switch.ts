/** On and off, and off for good: nothing is open, and nothing is pending, when these return. */
import { MillraceError } from '../primitives/errors'
import type { Client } from './api'
import type { ClientContext } from './context'

export function onOff(context: ClientContext): Pick<Client, 'disable' | 'enable' | 'enabled' | 'close'> {
  const { clock, emitter, network, channels } = context
  const isEnabled = () => channels?.conditions.enabled ?? true
  return {
    disable(reason) {
      if (context.closed || !isEnabled()) return
      channels?.conditions.disable()
      network?.gate.shut(disabledError())
      channels?.registry.quiet()
      clock.clear()
      emitter.emit('switch', () => ({ enabled: false, ...(reason !== undefined && { reason }) }))
    },
    enable() {
      if (context.closed || isEnabled()) return
      network?.gate.open()
      channels?.conditions.enable()
      emitter.emit('switch', () => ({ enabled: true }))
    },
    get enabled() {
      return isEnabled()
    },
    close() {
      if (context.closed) return
      const closed = new MillraceError('closed', 'The client was closed: make a new one with `createClient`.')
      context.closed = closed
      channels?.close(closed)
      network?.gate.shut(closed)
      network?.requests.forget(() => true)
      clock.clear()
      emitter.clear()
    },
  }
}

export function disabledError(): MillraceError {
  return new MillraceError('disabled', 'The client is switched off: call `enable()`.', { retryable: true })
}
