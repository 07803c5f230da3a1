/**
 * Timers by name: one of a name at a time, and a new one takes the old one's
 * place.
 */
export class Timers {
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #running = new Map();

  /**
   * @param {string} name
   * @param {number} ms
   * @param {() => void} fn it may set the same timer again
   */
  set(name, ms, fn) {
    this.clear(name);
    this.#running.set(
      name,
      setTimeout(() => {
        this.#running.delete(name);
        fn();
      }, ms),
    );
  }

  /** @param {string} name */
  has(name) {
    return this.#running.has(name);
  }

  /** @param {string[]} names those that do not run are no matter */
  clear(...names) {
    for (const name of names) {
      clearTimeout(this.#running.get(name));
      this.#running.delete(name);
    }
  }

  clearAll() {
    this.clear(...this.#running.keys());
  }
}
