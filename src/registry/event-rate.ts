/** Events per second, over the last second or more in which some came. */
export class EventRate {
  #since = 0
  #count = 0
  #perSecond = 0

  add(count: number, now: number): void {
    this.#count += count
    const elapsed = now - this.#since
    if (elapsed < 1_000) return
    this.#perSecond = elapsed > 10_000 ? this.#count : (this.#count * 1_000) / elapsed
    this.#since = now
    this.#count = 0
  }

  at(now: number): number {
    return now - this.#since > 2_000 ? 0 : this.#perSecond
  }
}
