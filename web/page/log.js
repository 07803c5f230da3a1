/**
 * A line of a log: `key` says which one it is, `sig` how it looks.
 *
 * @typedef {{key: string, sig: string, make: () => HTMLElement}} Row
 */

const nearEnd = 60; // pixels from the end that count as at the end
const loadWithin = 900; // pixels from an end at which more is asked for

/**
 * Lines in a box that scrolls. What is in sight stays where it is, whatever
 * comes or goes above; who is at the end stays at the end.
 */
export class LogView {
  /** Near the top, or near the end. @type {(up: boolean) => void} */
  onNear = () => {};
  /** What is in sight changed. @type {() => void} */
  onScroll = () => {};

  #scroll;
  #list;
  /** @type {Map<string, {sig: string, node: HTMLElement}>} */
  #rows = new Map();
  #stick = true; // at the end
  #frame = 0;
  #height = 0;

  /** @param {HTMLElement} scroll @param {HTMLElement} list */
  constructor(scroll, list) {
    this.#scroll = scroll;
    this.#list = list;
    scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => {
      if (this.#stick) this.toEnd();
      this.#height = scroll.clientHeight;
    }).observe(scroll);
  }

  get atEnd() {
    const s = this.#scroll;
    return s.scrollHeight - s.scrollTop - s.clientHeight < nearEnd;
  }

  /** Forgets everything. */
  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#stick = true;
  }

  /**
   * Shows these lines.
   *
   * @param {Row[]} rows
   * @param {{live?: boolean}} [options] live: the end of the rows is the end of all
   */
  draw(rows, { live = true } = {}) {
    const stick = live && this.#stick;
    const anchor = stick ? null : this.#anchor();
    const focused = this.#focusedKey();
    /** @type {Map<string, {sig: string, node: HTMLElement}>} */
    const now = new Map();
    let next = this.#list.firstChild;
    for (const row of rows) {
      let shown = this.#rows.get(row.key);
      if (!shown || shown.sig !== row.sig) {
        const node = row.make();
        if (shown) {
          if (next === shown.node) next = shown.node.nextSibling;
          shown.node.replaceWith(node);
          if (node.nextSibling === next && node.parentNode) next = node;
        }
        shown = { sig: row.sig, node };
      }
      now.set(row.key, shown);
      if (shown.node === next) next = next.nextSibling;
      else this.#list.insertBefore(shown.node, next);
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
    this.#rows = now;
    if (focused && !this.#list.contains(document.activeElement)) now.get(focused)?.node.focus({ preventScroll: true });
    if (stick) this.toEnd();
    else if (anchor) this.#hold(anchor);
    this.#soon();
  }

  toEnd() {
    this.#stick = true;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  /**
   * Brings a line into sight.
   *
   * @param {string} key
   * @param {'start' | 'center'} [where]
   * @returns {boolean} whether it is there
   */
  show(key, where = 'center') {
    const node = this.#rows.get(key)?.node;
    if (!node) return false;
    this.#stick = false;
    const s = this.#scroll.getBoundingClientRect();
    const r = node.getBoundingClientRect();
    const space = where === 'start' ? 60 : Math.max(0, (s.height - r.height) / 2);
    this.#scroll.scrollTop += r.top - s.top - space;
    this.#stick = this.atEnd;
    this.#soon();
    return true;
  }

  /** Asks for more again, where it is still wanted. */
  check() {
    this.#soon();
  }

  /** @param {string} key */
  node(key) {
    return this.#rows.get(key)?.node;
  }

  /** The number of the last message that is in sight. */
  lastSeen() {
    const bottom = this.#scroll.getBoundingClientRect().bottom;
    for (let node = this.#list.lastElementChild; node; node = node.previousElementSibling) {
      const seq = node instanceof HTMLElement ? Number(node.dataset.seq ?? 0) : 0;
      if (seq && node.getBoundingClientRect().top + 12 < bottom) return seq;
    }
    return 0;
  }

  // ---- inside ----

  /** The first line in sight, and where it ends: its head changes with what comes before it. */
  #anchor() {
    const top = this.#scroll.getBoundingClientRect().top;
    for (const [key, { node }] of this.#rows) {
      const { bottom } = node.getBoundingClientRect();
      if (key.startsWith('m') && bottom > top) return { key, bottom };
    }
    return null;
  }

  /** @param {{key: string, bottom: number}} anchor */
  #hold(anchor) {
    const node = this.#rows.get(anchor.key)?.node;
    if (!node) return;
    const moved = node.getBoundingClientRect().bottom - anchor.bottom;
    if (moved) this.#scroll.scrollTop += moved;
  }

  #focusedKey() {
    const active = document.activeElement;
    if (!active || !this.#list.contains(active)) return '';
    for (const [key, { node }] of this.#rows) if (node.contains(active)) return key;
    return '';
  }

  #scrolled() {
    // A box that got smaller moved nobody away from the end.
    if (this.#scroll.clientHeight === this.#height || this.atEnd) this.#stick = this.atEnd;
    this.#soon();
  }

  #soon() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      const s = this.#scroll;
      if (s.scrollTop < loadWithin) this.onNear(true);
      if (s.scrollHeight - s.scrollTop - s.clientHeight < loadWithin) this.onNear(false);
      this.onScroll();
    });
  }
}
