/**
 * When something is open: while its component is mounted and active, or while its scope lasts. Never on a server, where an
 * `await` may have made Vue forget which component is asking.
 */
import {
  getCurrentInstance,
  getCurrentScope,
  onActivated,
  onBeforeMount,
  onDeactivated,
  onMounted,
  onScopeDispose,
  type WatchSource,
  watch,
} from 'vue'

/**
 * Calls `open` when it is time to, and what that returned when it is over; both again when the `identity` changes, once
 * for all that changed by then. The next is opened before the last is closed: what both need stays open.
 */
export function whileActive(identity: WatchSource<string>, open: () => () => void): void {
  let close: (() => void) | undefined
  const move = () => {
    const last = close
    // What is refused has nothing to close, and is tried again with the next identity.
    close = () => {}
    try {
      close = open()
    } finally {
      last?.()
    }
  }
  const start = () => {
    // `KeepAlive` activates what has only just been mounted, too.
    if (!close) move()
  }
  const stop = () => {
    close?.()
    close = undefined
  }

  const instance = getCurrentInstance()
  const scope = getCurrentScope()
  if (!instance && isServer()) return
  if (!instance && !scope) warn()
  watch(identity, () => close && move())
  if (scope) onScopeDispose(stop)
  // Another scope (a store's, a shared composable's) outlives the component that happens to be the first to ask.
  if (instance && scope === (instance as { scope?: unknown }).scope) {
    onActivated(start)
    onDeactivated(stop)
  }
  if (!instance || instance.isMounted) start()
  // A server runs neither hook. What has an element already is being hydrated: its first render has to be the server's.
  else (instance.vnode.el ? onMounted : onBeforeMount)(start)
}

const isServer = (): boolean => typeof document === 'undefined' && !('WorkerGlobalScope' in globalThis)

let hasWarned = false

function warn(): void {
  if (hasWarned) return
  hasWarned = true
  console.warn(
    '[millrace] A composable was called outside of a component and of any effect scope: nobody closes what it opens. Call it before the first `await` of `setup`, or in `effectScope().run()`.',
  )
}
