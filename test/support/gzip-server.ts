import { request as ask } from 'node:http'
import { constants, createGzip } from 'node:zlib'
import { startServer, type TestServer } from './http-server'

/**
 * A server that hands everything on to another one and compresses the answers. With `flush` each piece goes out as it
 * comes; without, as some proxies do it, when the compressor thinks that it is worth it.
 */
export function startGzipServer(target: string, { flush = true } = {}): Promise<TestServer> {
  return startServer(({ url, headers }, response) => {
    const forward = ask(new URL(url, target), { headers }, (answer) => {
      const gzip = createGzip({ flush: flush ? constants.Z_SYNC_FLUSH : constants.Z_NO_FLUSH })
      response.writeHead(answer.statusCode ?? 502, {
        'content-type': answer.headers['content-type'] ?? '',
        'content-encoding': 'gzip',
      })
      response.flushHeaders()
      answer.pipe(gzip).pipe(response)
      answer.on('error', () => response.destroy())
    })
    forward.on('error', () => response.destroy())
    forward.end()
    response.once('close', () => forward.destroy())
  })
}
