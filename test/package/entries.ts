export interface Manifest {
  exports: Record<string, object | string>
  peerDependencies?: Record<string, string>
}

/** `millrace` and `millrace/name`, of each entry in `exports` that has types, and so is a module. */
export function entriesOf({ exports }: Manifest): string[] {
  return Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath]) => subpath.replace(/^\./, 'millrace'))
}

/** The frameworks that there is an adapter for: entries that are named after a peer. */
export function adaptersOf(manifest: Manifest): string[] {
  const entries = entriesOf(manifest)
  return Object.keys(manifest.peerDependencies ?? {}).filter((peer) => entries.includes(`millrace/${peer}`))
}

/** The entries that are for everybody. */
export function coreEntriesOf(manifest: Manifest): string[] {
  const adapters = adaptersOf(manifest).map((peer) => `millrace/${peer}`)
  return entriesOf(manifest).filter((entry) => !adapters.includes(entry))
}
