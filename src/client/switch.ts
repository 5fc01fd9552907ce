/** On and off, and off for good: nothing is open, and nothing is pending, when these return. */
import { MillraceError } from '../primitives/errors'
import type { Client } from './api'
import type { ClientContext } from './context'

export function onOff(context: ClientContext): Pick<Client, 'disable' | 'enable' | 'enabled' | 'close'> {
  const { clock, emitter, gate, requests, registry, conditions } = context
  return {
    disable(reason) {
      if (context.closed || !isEnabled(context)) return
      conditions?.disable()
      gate?.shut(disabledError())
      registry?.quiet()
      clock.clear()
      emitter.emit('switch', () => ({ enabled: false, ...(reason !== undefined && { reason }) }))
    },
    enable() {
      if (context.closed || isEnabled(context)) return
      gate?.open()
      conditions?.enable()
      emitter.emit('switch', () => ({ enabled: true }))
    },
    get enabled() {
      return isEnabled(context)
    },
    close() {
      if (context.closed) return
      const closed = new MillraceError('closed', 'The client was closed: make a new one with `createClient`.')
      context.closed = closed
      context.closeChannels?.(closed)
      gate?.shut(closed)
      requests?.forget(() => true)
      clock.clear()
      emitter.clear()
    },
  }
}

export function isEnabled({ conditions }: ClientContext): boolean {
  return conditions?.enabled !== false
}

export function disabledError(): MillraceError {
  return new MillraceError('disabled', 'The client is switched off: call `enable()`.', { retryable: true })
}
