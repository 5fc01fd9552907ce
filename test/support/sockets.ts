/**
 * What keeps, or might keep, this process alive, by kind: `{ Timeout: 2, TCPSocketWrap: 1 }`. Take one before and one
 * after; the test runner has handles of its own.
 */
export function activeResources(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
