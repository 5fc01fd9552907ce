/** Who is signed in: what was asked and shown for one is never another's. */
import { check } from '../primitives/check'
import { configError, MillraceError } from '../primitives/errors'
import { clientOptions } from '../primitives/options'
import type { Client } from './api'
import { type ClientContext, throwIfClosed } from './context'

export function identity(context: ClientContext): Pick<Client, 'setIdentity' | 'identity'> {
  const { settings } = context
  return {
    setIdentity(identity) {
      if (identity === undefined) throw configError('`identity: string | null`', 'undefined')
      throwIfClosed(context)
      check(clientOptions, { identity })
      const { conditions, registry, tellTabs } = context
      const before = settings.identity
      const isOther = identity !== before
      // What was asked while it was not known may be somebody else's.
      const isNews = isOther || !conditions?.isIdentified
      conditions?.identify(true)
      if (isOther && before !== null) tellTabs?.((others) => others.left(before))
      Object.assign(settings, { identity })
      if (isNews) forgetAll(context)
      // Who has signed in again has new credentials, under the same name too.
      else
        for (const channel of registry?.channels() ?? [])
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
  context.conditions?.identify(false)
  forgetAll(context)
  tellIdentity(context)
}

function identityOf({ settings, conditions }: ClientContext): Client['identity'] {
  return conditions?.isIdentified === false ? undefined : settings.identity
}

function tellIdentity(context: ClientContext): void {
  context.emitter.emit('identity', () => ({ identity: identityOf(context) }))
}

/** Closes and clears all that was the identity's. */
function forgetAll({ requests, gate, registry }: ClientContext): void {
  requests?.forget(() => true)
  gate?.abortAll(new MillraceError('aborted', 'The identity has changed: what was asked before is dropped.'))
  registry?.reset()
}
