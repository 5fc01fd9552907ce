import { createHash } from 'node:crypto'

/** What a page writes into `integrity`, so that it runs this file and no other. */
export function integrityOf(file: Uint8Array | string): string {
  return `sha384-${createHash('sha384').update(file).digest('base64')}`
}
