/**
 * What other tabs of this browser do. They share one guest identity, so the
 * server never lets them meet; the page says so instead of searching in vain.
 *
 * @typedef {'idle' | 'search' | 'call'} Doing
 */

const silence = 12_000; // ms after which a tab counts as gone
const every = 5000;

export class Tabs {
  #channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('rondo') : null;
  #id = Math.random().toString(36).slice(2);
  /** @type {Doing} */
  #doing = 'idle';
  /** @type {Map<string, {doing: Doing, at: number}>} */
  #others = new Map();
  #changed;

  /** @param {(others: Doing) => void} changed with the most that another tab does */
  constructor(changed) {
    this.#changed = changed;
    if (!this.#channel) return;
    this.#channel.onmessage = (e) => this.#heard(e.data);
    this.#channel.postMessage({ id: this.#id, ask: true, doing: this.#doing });
    setInterval(() => this.#tick(), every);
    addEventListener('pagehide', () => this.#channel?.postMessage({ id: this.#id, doing: 'idle' }));
  }

  /** @param {Doing} doing what this tab does now */
  set(doing) {
    if (doing === this.#doing) return;
    this.#doing = doing;
    this.#channel?.postMessage({ id: this.#id, doing });
  }

  /** The most that another tab does. @returns {Doing} */
  get others() {
    const list = [...this.#others.values()].map((o) => o.doing);
    return list.includes('call') ? 'call' : list.includes('search') ? 'search' : 'idle';
  }

  /** @param {any} m */
  #heard(m) {
    if (!m || m.id === this.#id) return;
    if (m.ask) this.#channel?.postMessage({ id: this.#id, doing: this.#doing });
    const before = this.others;
    if (m.doing === 'search' || m.doing === 'call') this.#others.set(m.id, { doing: m.doing, at: Date.now() });
    else this.#others.delete(m.id);
    if (this.others !== before) this.#changed(this.others);
  }

  #tick() {
    if (this.#doing !== 'idle') this.#channel?.postMessage({ id: this.#id, doing: this.#doing });
    const before = this.others;
    for (const [id, o] of this.#others) if (Date.now() - o.at > silence) this.#others.delete(id);
    if (this.others !== before) this.#changed(this.others);
  }
}
