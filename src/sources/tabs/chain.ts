/**
 * A follower's place in what its leader relays: a pure state machine. Batches count the leader's events within its epoch
 * (`n` is the number of the first), so a lost one shows. Until the leader has said where its count stands, and while one
 * is missing, batches are held.
 *
 * ```
 *              joined                        a batch too far ahead, a higher epoch
 *   unjoined ─────────▶ joined (next = n) ─────────────────────────────────────────▶ unjoined (ask)
 * ```
 */
export interface Batch {
  /** The leader's: a higher one outranks. */
  readonly e: number
  readonly n: number
  readonly events: readonly unknown[]
  /** Characters. */
  readonly size: number
}

export interface Chain<B extends Batch> {
  readonly epoch: number
  /** The number of the next event; undefined while unjoined. */
  readonly next: number | undefined
  readonly held: readonly B[]
}

export type ChainEvent<B extends Batch> =
  | { readonly type: 'batch'; readonly batch: B }
  | { readonly type: 'leader'; readonly epoch: number }
  | { readonly type: 'joined'; readonly epoch: number; readonly n: number }

export interface ChainStep<B extends Batch> {
  readonly chain: Chain<B>
  /** In order, without what is known. */
  readonly ready: readonly B[]
  /** The leader is to be asked where it stands. */
  readonly ask: boolean
}

/** How many batches, and characters of them, are held. The first ones go, and are asked for once it has joined. */
export const MOST_HELD = 1_000
export const MOST_CHARACTERS: number = 4 * 2 ** 20

export const unjoined: Chain<never> = { epoch: 0, next: undefined, held: [] }

export function follow<B extends Batch>(chain: Chain<B>, event: ChainEvent<B>): ChainStep<B> {
  const same = { chain, ready: [], ask: false }
  switch (event.type) {
    case 'leader':
      if (event.epoch <= chain.epoch) return same
      return { chain: { epoch: event.epoch, next: undefined, held: [] }, ready: [], ask: true }

    case 'batch': {
      const { batch } = event
      if (batch.e < chain.epoch) return same
      const isNew = batch.e > chain.epoch
      if (!isNew && chain.next !== undefined) return drain({ ...chain, held: [batch] })
      const held = isNew ? [] : chain.held
      return {
        chain: { epoch: batch.e, next: undefined, held: bounded([...held, batch]) },
        ready: [],
        ask: isNew,
      }
    }

    case 'joined':
      if (event.epoch < chain.epoch) return same
      return drain({
        epoch: event.epoch,
        next: event.n,
        held: event.epoch === chain.epoch ? chain.held : [],
      })
  }
}

export function sizeOf(held: readonly Batch[]): number {
  return held.reduce((sum, { size }) => sum + size, 0)
}

/** The last one stays, however large it is. */
function bounded<B extends Batch>(held: readonly B[]): readonly B[] {
  const tooMany = held.length > MOST_HELD || (held.length > 1 && sizeOf(held) > MOST_CHARACTERS)
  return tooMany ? bounded(held.slice(1)) : held
}

/** Hands on what is held and in order; what still does not follow is a gap. */
function drain<B extends Batch>(chain: Chain<B> & { readonly next: number | undefined }): ChainStep<B> {
  let next = chain.next as number
  const ready: B[] = []
  const held = [...chain.held].sort((a, b) => a.n - b.n)
  for (const [index, batch] of held.entries()) {
    const end = batch.n + batch.events.length
    if (batch.n > next)
      return { chain: { epoch: chain.epoch, next: undefined, held: held.slice(index) }, ready, ask: true }
    if (end <= next) continue
    ready.push({ ...batch, n: next, events: batch.events.slice(next - batch.n) })
    next = end
  }
  return { chain: { epoch: chain.epoch, next, held: [] }, ready, ask: false }
}
