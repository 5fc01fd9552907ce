/** Who is signed in: what was asked and shown for one is never another's. */
import { check } from '../primitives/check'
import { configError, MillraceError } from '../primitives/errors'
import { clientOptions } from '../primitives/options'
import type { Client } from './api'
import { type ClientContext, throwIfClosed } from './context'

export function identity(context: ClientContext): Pick<Client, 'setIdentity' | 'identity'> {
  const { settings, channels } = context
  return {
    setIdentity(identity) {
      if (identity === undefined) throw configError('`identity: string | null`', 'undefined')
      throwIfClosed(context)
      check(clientOptions, { identity })
      const before = settings.identity
      const isOther = identity !== before
      // What was asked while it was not known may be somebody else's.
      const isNews = isOther || !channels?.conditions.isIdentified
      channels?.conditions.identify(true)
      if (isOther && before !== null) channels?.tabs?.left(before)
      Object.assign(settings, { identity })
      if (isNews) forgetAll(context)
      // Who has signed in again has new credentials, under the same name too.
      else
        for (const channel of channels?.registry.channels() ?? [])
          if (channel.state().error?.code === 'unauthorized') void channel.refresh()
      tellIdentity(context)
    },
    get identity() {
      return identityOf(context)
    },
  }
}

/** It was left in another tab. */
export function leaveIdentity(context: ClientContext): void {
  context.channels?.conditions.identify(false)
  forgetAll(context)
  tellIdentity(context)
}

function identityOf({ settings, channels }: ClientContext): Client['identity'] {
  return channels?.conditions.isIdentified === false ? undefined : settings.identity
}

function tellIdentity(context: ClientContext): void {
  context.emitter.emit('identity', () => ({ identity: identityOf(context) }))
}

/** Closes and clears all that was the identity's. */
function forgetAll({ network, channels }: ClientContext): void {
  network?.requests.forget(() => true)
  network?.gate.abortAll(new MillraceError('aborted', 'The identity has changed: what was asked before is dropped.'))
  channels?.registry.reset()
}
