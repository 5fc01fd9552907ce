import type { Rollout } from './registry-context'

/** Whether this id is among the `percent` that stream: by a stable hash (FNV-1a), so that it stays on its side. */
export function isRolledOut({ percent, id, only }: Rollout): boolean {
  if (only) return only.includes(id)
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0) % 10_000 < percent * 100
}
