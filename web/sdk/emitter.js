/**
 * A small typed event emitter. A handler that throws does not keep the others
 * from running; its error is reported as an uncaught one.
 *
 * @template {Record<string, any>} E event name → what its handlers get
 */
export class Emitter {
  /** @type {Map<keyof E, Set<(detail: any) => void>>} */
  #handlers = new Map();

  /**
   * Calls fn at every event of this type.
   *
   * @template {keyof E} K
   * @param {K} type
   * @param {(detail: E[K]) => void} fn
   * @returns {() => void} stops it
   */
  on(type, fn) {
    let set = this.#handlers.get(type);
    if (!set) this.#handlers.set(type, (set = new Set()));
    set.add(fn);
    return () => this.off(type, fn);
  }

  /**
   * Calls fn at the next event of this type only.
   *
   * @template {keyof E} K
   * @param {K} type
   * @param {(detail: E[K]) => void} fn
   * @returns {() => void} stops it
   */
  once(type, fn) {
    const stop = this.on(type, (detail) => {
      stop();
      fn(detail);
    });
    return stop;
  }

  /**
   * @template {keyof E} K
   * @param {K} type
   * @param {(detail: E[K]) => void} fn
   */
  off(type, fn) {
    this.#handlers.get(type)?.delete(fn);
  }

  /**
   * @template {keyof E} K
   * @param {K} type
   * @param {E[K]} detail
   */
  emit(type, detail) {
    for (const fn of [...(this.#handlers.get(type) ?? [])]) {
      try {
        fn(detail);
      } catch (err) {
        queueMicrotask(() => {
          throw err;
        });
      }
    }
  }

  /** Forgets all handlers. */
  clear() {
    this.#handlers.clear();
  }
}
