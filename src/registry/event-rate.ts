/** Events per second, over the last second or more in which some came; by the hand of the clock that is never set. */
export class EventRate {
  #since = 0
  #count = 0
  #perSecond = 0

  add(count: number, elapsed: number): void {
    this.#count += count
    const ms = elapsed - this.#since
    if (ms < 1_000) return
    this.#perSecond = ms > 10_000 ? this.#count : (this.#count * 1_000) / ms
    this.#since = elapsed
    this.#count = 0
  }

  at(elapsed: number): number {
    return elapsed - this.#since > 2_000 ? 0 : this.#perSecond
  }
}
