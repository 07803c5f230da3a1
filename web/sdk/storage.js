/**
 * Where the client keeps its two secrets. Anything with these three methods
 * will do; they must not throw.
 *
 * @typedef {object} Store
 * @property {(key: string) => string | null} get
 * @property {(key: string, value: string) => void} set
 * @property {(key: string) => void} remove
 */

/**
 * `session` holds the resume token across a reload of this tab, `local` the
 * guest token across visits.
 *
 * @typedef {{session: Store, local: Store}} Storage2
 */

/** @returns {Store} a store that forgets with the page */
export function memoryStore() {
  /** @type {Map<string, string>} */
  const map = new Map();
  return {
    get: (key) => map.get(key) ?? null,
    set: (key, value) => void map.set(key, value),
    remove: (key) => void map.delete(key),
  };
}

/**
 * A store over a Web Storage area, or over memory where the browser refuses
 * one (private windows, blocked cookies, other runtimes).
 *
 * @param {'sessionStorage' | 'localStorage'} area
 * @returns {Store}
 */
export function webStore(area) {
  const fallback = memoryStore();
  /** @type {Storage} */
  let web;
  try {
    web = globalThis[area];
    if (!web) return fallback;
    web.getItem('rondo.probe');
  } catch {
    return fallback;
  }
  return {
    get: (key) => {
      try {
        return web.getItem(key);
      } catch {
        return fallback.get(key);
      }
    },
    set: (key, value) => {
      try {
        web.setItem(key, value);
      } catch {
        fallback.set(key, value); // full, or blocked meanwhile
      }
    },
    remove: (key) => {
      fallback.remove(key);
      try {
        web.removeItem(key);
      } catch {
        // nothing is kept then
      }
    },
  };
}

/** @returns {Storage2} */
export function browserStorage() {
  return { session: webStore('sessionStorage'), local: webStore('localStorage') };
}
