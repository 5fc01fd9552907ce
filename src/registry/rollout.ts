import { fnv } from '../primitives/fingerprint'
import type { Rollout } from './registry-context'

/** Whether this id is among the `percent` that stream: by a stable hash, so that it stays on its side. */
export function isRolledOut({ percent, id, only }: Rollout): boolean {
  return only ? only.includes(id) : fnv(id) % 10_000 < percent * 100
}
