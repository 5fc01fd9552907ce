import { createRequire } from 'node:module'
import * as esm from 'millrace'

// A bundler's ESM and a dependency's CommonJS in one process, as a server-side framework brings them together.
const cjs = createRequire(import.meta.url)('millrace')
const client = esm.configure({ identity: 'anna' })
const heard = []
const finished = [esm, cjs].map(
  (copy) =>
    new Promise((complete) => {
      const channel = copy.defineChannel({ key: 'numbers', stream: process.argv[2], until: ({ data }) => data === 3 })
      copy.subscribe(channel, { next: ({ data }) => heard.push(data), complete })
    }),
)
await Promise.all(finished)
const error = await cjs
  .getClient()
  .json(new URL('/nowhere', process.argv[2]))
  .catch((error) => error)
console.log(
  JSON.stringify({
    copies: new Set([esm.createClient, cjs.createClient]).size,
    clients: new Set([client, esm.getClient(), cjs.getClient()]).size,
    heard,
    recognised: [esm.isMillraceError(error), cjs.isMillraceError(error)],
  }),
)
client.close()
