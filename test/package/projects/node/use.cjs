/** Follows a stream to its end and prints what came, with either build. */
async function use({ createClient, defineChannel }, url) {
  const client = createClient()
  const channel = defineChannel({ key: 'numbers', stream: url, until: ({ data }) => data === 3 })
  for await (const { data } of client.events(channel)) console.log('event', data)
  console.log('state', client.getState(channel).status)
  client.close()
}
module.exports = { use }
if (require.main === module) use(require('millrace'), process.argv[2])
