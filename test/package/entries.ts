import type { Project } from './project'

interface Manifest {
  exports: Record<string, object | string>
  peerDependencies?: Record<string, string>
}

export function manifestOf(project: Project): Manifest {
  return JSON.parse(project.read('node_modules/millrace/package.json'))
}

/** `millrace` and `millrace/name`, of each entry in `exports` that has types, and so is a module. */
export function entriesOf(project: Project): string[] {
  return Object.entries(manifestOf(project).exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath]) => subpath.replace(/^\./, 'millrace'))
}

/** The ones that are for everybody: not an adapter's, named after a peer. */
export function coreEntriesOf(project: Project): string[] {
  const peers = Object.keys(manifestOf(project).peerDependencies ?? {})
  return entriesOf(project).filter((entry) => !peers.includes(entry.replace('millrace/', '')))
}
