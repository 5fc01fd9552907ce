import type { Contenders, Reply } from './contender'

// The process of one contender: makes it, then measures a round whenever it is told to.
const [module = '', name = '', origin = ''] = process.argv.slice(2)

process.once('disconnect', () => process.exit())
process.on('message', () => void reply(async () => ({ figures: await contender.round() })))

const { contenders } = (await import(module)) as { contenders: Contenders }
const make = contenders[name]
if (!make) throw new Error(`No contender ${name} in ${module}`)
const contender = await make(origin)
await reply(async () => ({ ready: true }))

async function reply(work: () => Promise<Reply>): Promise<void> {
  process.send?.(await work().catch((error: unknown): Reply => ({ error: String(error) })))
}
