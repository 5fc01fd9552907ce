/** When something is open: while its component is mounted and active, or while its scope lasts. Never in a server render. */
import {
  getCurrentInstance,
  getCurrentScope,
  onActivated,
  onBeforeMount,
  onDeactivated,
  onMounted,
  type WatchSource,
  watch,
} from 'vue'

/**
 * Calls `open` when it is time to, and what that returned when it is over; both again when the `identity` changes, once
 * for all that changed by then. Closing comes first: what was open outlives it by its grace, and is there to be reused.
 */
export function whileActive(identity: WatchSource<string>, open: () => () => void): void {
  const instance = getCurrentInstance()
  const scope = getCurrentScope()
  let stop: (() => void) | undefined

  const watching = () => watch(identity, (_, __, onCleanup) => onCleanup(open()), { immediate: true })
  const start = () => {
    // `KeepAlive` activates what has only just been mounted, too.
    stop ??= scope ? scope.run(watching) : watching()
  }

  // Another scope (a store's, a shared composable's) outlives the component that happens to be the first to ask.
  if (instance && scope === (instance as { scope?: unknown }).scope) {
    onActivated(start)
    onDeactivated(() => {
      stop?.()
      stop = undefined
    })
  }
  if (!instance || instance.isMounted) start()
  // A server runs neither hook. What has an element already is being hydrated: its first render has to be the server's.
  else (instance.vnode.el ? onMounted : onBeforeMount)(start)
}
