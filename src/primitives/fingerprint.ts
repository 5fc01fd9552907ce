/** FNV-1a, 32 bits: for names and shares. `crypto.subtle` is missing in insecure contexts, and would have to be awaited. */
export function fnv(text: string, seed = 0x811c9dc5): number {
  let hash = seed
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** 64 bits of a text that is not to be shown: twice with different seeds. */
export function fingerprint(text: string): string {
  return fnv(text).toString(36) + fnv(text, 0x1b873593).toString(36)
}
