/** Which source a target is: made once for all channels that want it, and for all tabs where they may share it. */
import { isSecretHeader } from '../primitives/http'
import { enterPage } from './page-sources'
import { createSnapshot, type SnapshotSource } from './snapshot'
import type { SourceContext } from './source-context'
import { createStream, type StreamSource } from './stream'
import type { Sharing, Tabs } from './tabs/arrival'
import type { TabParts } from './tabs/platform'
import { isUrl, type Target, targetIdentity } from './target'

export type Share = 'tabs' | 'page'

export interface Sources {
  /** The one source of this target, made if need be; then it goes on from the id. */
  stream(target: Target, channelKey: string, share: Share | undefined, lastEventId: string): StreamSource
  /** One more for a while: what came after this id. */
  streamSince(target: Target, lastEventId: string): StreamSource
  snapshot(target: Target, channelKey: string, share: Share | undefined): SnapshotSource
  /** Settings have changed. */
  reconsider(): void
  readonly tabs: { readonly shared: boolean; readonly leading: number; readonly following: number }
}

export function createSources(context: SourceContext, tabs: Tabs | undefined): Sources {
  const { settings, alert } = context
  const streams = new Map<string, StreamSource>()
  const snapshots = new Map<string, SnapshotSource>()
  let hasTold = false
  if (tabs)
    tabs.onChange = () => {
      for (const source of [...all()]) source.reconsider?.()
    }

  return {
    stream: (target, key, share, lastEventId) =>
      find(streams, target, key, share, (onEmpty, identity, tabs) =>
        tabs
          ? createStream(target, context, onEmpty, lastEventId, sharing(tabs, identity, 'shareStream'))
          : createPageStream(onEmpty, identity, target, lastEventId),
      ),
    streamSince: (target, lastEventId) => createStream(target, context, () => {}, lastEventId),
    snapshot: (target, key, share) =>
      find(snapshots, target, key, share, (onEmpty, identity, tabs) =>
        createSnapshot(target, context, onEmpty, tabs && sharing(tabs, identity, 'shareSnapshot')),
      ),
    reconsider() {
      if (!settings.flags.tabs) for (const source of [...all()]) source.separate?.()
    },
    get tabs() {
      const roles = [...all()].map((source) => source.role())
      return {
        shared: tabs !== undefined && settings.flags.tabs,
        leading: roles.filter((role) => role === 'leader').length,
        following: roles.filter((role) => role === 'follower').length,
      }
    },
  }

  function* all(): Iterable<StreamSource | SnapshotSource> {
    yield* streams.values()
    yield* snapshots.values()
  }

  function find<T extends StreamSource | SnapshotSource>(
    sources: Map<string, T>,
    target: Target,
    key: string,
    share: Share | undefined,
    create: (onEmpty: () => void, identity: string, tabs: Tabs | undefined) => T,
  ): T {
    const identity = targetIdentity(target, key, settings.baseUrl)
    const known = sources.get(identity)
    if (known) {
      if (share === 'page') known.separate?.()
      return known
    }
    const onEmpty = () => {
      if (sources.get(identity) === made) sources.delete(identity)
    }
    const whole = JSON.stringify([settings.identity, identity])
    const made = create(onEmpty, whole, share !== 'page' && mayShare(target) ? tabs : undefined)
    sources.set(identity, made)
    return made
  }

  function sharing<K extends 'shareStream' | 'shareSnapshot'>(
    { parts, platform, waits }: Tabs,
    identity: string,
    kind: K,
  ): Sharing<Parameters<ReturnType<TabParts[K]>>[0], ReturnType<ReturnType<TabParts[K]>>> {
    return {
      share(coreOf) {
        const here = settings.flags.tabs ? parts() : undefined
        return here?.[kind](context, identity, platform)(coreOf() as never) as never
      },
      waits: () => settings.flags.tabs && waits(),
    }
  }

  /** Another tab may be somebody else: credentials of our own are shared only among those who say who they are. */
  function mayShare(target: Target): boolean {
    if (!tabs || !settings.flags.tabs) return false
    if (settings.identity !== null || !(hasSecrets(settings.headers) || hasOwnSecrets(target))) return true
    if (!hasTold)
      alert({
        code: 'tab-protocol',
        message:
          'Tabs do not share what is asked with credentials of its own: say who it is with `identity`, or choose `share: "page"`.',
      })
    hasTold = true
    return false
  }

  function createPageStream(onEmpty: () => void, identity: string, target: Target, lastEventId: string): StreamSource {
    const entry = enterPage(identity)
    const gone = () => {
      entry.leave()
      onEmpty()
    }
    const stream = createStream(target, context, gone, lastEventId)
    if (entry.isDuplicate) {
      const endpoint = stream.endpoint()
      const message = `${endpoint} is open in another client of this page too: share one with \`getClient()\`.`
      alert({ code: 'duplicate-client', message, endpoint })
    }
    return stream
  }
}

function hasSecrets(headers: HeadersInit | ((...args: never[]) => unknown) | undefined): boolean {
  if (typeof headers === 'function') return true
  return headers !== undefined && [...new Headers(headers).keys()].some(isSecretHeader)
}

/** What a function will answer cannot be known. */
function hasOwnSecrets(target: Target): boolean {
  if (typeof target === 'function') return true
  return typeof target === 'object' && !isUrl(target) && hasSecrets(target.headers)
}
