/**
 * Back-off with full jitter: the n-th delay is random between nothing and
 * base·2ⁿ, at most max, so that many clients who lost the same server do not
 * come back at the same moment.
 */
export class Backoff {
  #attempt = 0;
  #base;
  #max;
  #random;

  /** @param {{base?: number, max?: number, random?: () => number}} [options] milliseconds */
  constructor({ base = 500, max = 30000, random = Math.random } = {}) {
    this.#base = base;
    this.#max = max;
    this.#random = random;
  }

  /** How many delays were drawn since the last reset. */
  get attempt() {
    return this.#attempt;
  }

  /** @returns {number} milliseconds to wait now */
  next() {
    const ceiling = Math.min(this.#max, this.#base * 2 ** Math.min(this.#attempt, 30));
    this.#attempt++;
    return this.#random() * ceiling;
  }

  reset() {
    this.#attempt = 0;
  }
}
