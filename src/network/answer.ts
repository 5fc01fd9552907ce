/** A JSON answer, and the head it came with. */
export interface JsonAnswer {
  readonly value: unknown
  readonly headers: Headers
  /** It had no body (204, 205, 304, or nothing for what is no GET): what was known before holds. */
  readonly isEmpty?: boolean
  /** What its answer is cached by. */
  readonly key?: string | undefined
  readonly url?: string
  readonly bytes?: number
  /** It was asked with credentials of its own: not for other tabs to know by. */
  readonly isSecret?: boolean
  /** By the second hand, when it came. */
  readonly at?: number
  /** By the second hand, when it was asked: of two answers this one's is newer, whichever came first. */
  readonly sentAt?: number
}

/** A cached answer, as tabs tell each other of it. */
export interface KeptAnswer {
  readonly key: string
  readonly url: string
  readonly value: unknown
  readonly headers: readonly (readonly [string, string])[]
  readonly bytes: number
  /** ms, when it was told: a clock may be set meanwhile, so no moment is compared with another tab's. */
  readonly age: number
  /** ms from when it was asked to when it was told. */
  readonly sentAgo: number
  /** ms since the epoch: a tab that was frozen hears of it late. */
  readonly toldAt: number
}
