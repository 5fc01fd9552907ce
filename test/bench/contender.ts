import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** What one round has measured, by name: events per second, bytes, ms. */
export type Figures = Readonly<Record<string, number>>

/** One side of a comparison. */
export interface Contender {
  round(): Figures | Promise<Figures>
}

/** The sides of a benchmark by name; `origin` is the server's. Each loads its library when it is made, not before. */
export type Contenders = Readonly<Record<string, (origin: string) => Contender | Promise<Contender>>>

export interface RunningContender {
  round(): Promise<Figures>
  stop(): void
}

export type Reply = { readonly figures: Figures } | { readonly ready: true } | { readonly error: string }

/** No round takes so long, in ms, unless something hangs. */
const PATIENCE = 60_000

/**
 * Starts one contender in a process of its own: what the optimiser has learnt of one, and the garbage of one, are not
 * another's. Between its rounds it is idle.
 */
export async function startContender(
  module: string,
  name: string,
  origin: string,
  flags: readonly string[] = [],
): Promise<RunningContender> {
  const child = fork(fileURLToPath(new URL('contender.child.ts', import.meta.url)), [module, name, origin], {
    execArgv: [...process.execArgv, ...flags],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const stop = () => void child.kill()
  await answer()
  return {
    async round() {
      child.send('round')
      const reply = await answer()
      return 'figures' in reply ? reply.figures : {}
    },
    stop,
  }

  function answer(): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle({ error: `no answer within ${PATIENCE / 1_000} s` }), PATIENCE)
      const onExit = (code: number | null) => settle({ error: `exited with ${code}` })
      child.once('message', settle)
      child.once('exit', onExit)

      function settle(reply: unknown): void {
        clearTimeout(timer)
        child.off('message', settle)
        child.off('exit', onExit)
        const known = reply as Reply
        if (!('error' in known)) return resolve(known)
        stop()
        reject(new Error(`${name}: ${known.error}`))
      }
    })
  }
}
