import type { ServerResponse } from 'node:http'
import { createGzip } from 'node:zlib'

/** So many megabytes of zeros, which are a thousandth of that on the way. */
export function bomb(response: ServerResponse, head: string, megabytes: number): void {
  const zip = createGzip({ level: 1 })
  zip.on('error', () => {})
  zip.pipe(response)
  response.on('close', () => zip.destroy())
  zip.write(head)
  const zeros = Buffer.alloc(2 ** 20, '0')
  let left = megabytes
  const write = (): void => {
    for (let more = true; more && left > 0 && !zip.destroyed; left -= 1) more = zip.write(zeros)
    if (left === 0) zip.end('"')
    else zip.once('drain', write)
  }
  write()
}
