import { el } from './ui.js';

/** What is open now. @type {Floating | null} */
let open = null;

/** A box that floats beside what opened it, until it is left. */
export class Floating {
  #box;
  #by;
  #stop = new AbortController();

  /**
   * @param {HTMLElement} box
   * @param {HTMLElement} by what opened it, and gets the focus back
   */
  constructor(box, by) {
    open?.close(false);
    open = this;
    this.#box = box;
    this.#by = by;
    (by.closest('dialog, main') ?? document.body).append(box); // over a dialog, where one is open
    by.setAttribute('aria-expanded', 'true');
    this.#place();
    const { signal } = this.#stop;
    const outside = (/** @type {Event} */ e) => {
      if (e.target instanceof Node && !box.contains(e.target) && !by.contains(e.target)) this.close(false);
    };
    addEventListener('pointerdown', outside, { capture: true, signal });
    addEventListener('focusin', outside, { signal });
    addEventListener('resize', () => this.close(false), { signal });
    box.addEventListener('keydown', (e) => this.#key(e), { signal });
  }

  /** @param {boolean} [back] the focus goes back */
  close(back = true) {
    if (open !== this) return;
    open = null;
    this.#stop.abort();
    this.#box.remove();
    this.#by.setAttribute('aria-expanded', 'false');
    if (back) this.#by.focus();
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    if (e.key === 'Escape') {
      e.preventDefault();
      e.stopPropagation();
      this.close();
      return;
    }
    const columns = Number(this.#box.dataset.columns ?? 1);
    const all = [...this.#box.querySelectorAll('button')];
    const at = all.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const to = { ArrowDown: at + columns, ArrowUp: at - columns, ArrowRight: columns > 1 ? at + 1 : NaN, ArrowLeft: columns > 1 ? at - 1 : NaN, Home: 0, End: all.length - 1, Tab: at + (e.shiftKey ? -1 : 1) }[e.key];
    if (to === undefined || Number.isNaN(to)) return;
    e.preventDefault();
    all[(to + all.length) % all.length]?.focus();
  }

  #place() {
    const by = this.#by.getBoundingClientRect();
    const { offsetWidth: w, offsetHeight: h } = this.#box;
    const below = by.bottom + 6 + h <= innerHeight || by.top < h;
    const left = Math.max(8, Math.min(by.right - w, innerWidth - w - 8));
    const top = below ? Math.min(by.bottom + 6, innerHeight - h - 8) : by.top - h - 6;
    this.#box.style.left = `${left}px`;
    this.#box.style.top = `${Math.max(8, top)}px`;
  }
}

/** @typedef {{words: string, run: () => void, danger?: boolean, testid?: string, checked?: boolean}} MenuItem */

/**
 * @param {HTMLElement} by
 * @param {MenuItem[]} items
 */
export function openMenu(by, items) {
  if (by.getAttribute('aria-expanded') === 'true') {
    open?.close();
    return;
  }
  const box = el('div', { class: 'menu', role: 'menu' });
  for (const { words, run, danger = false, testid = '', checked } of items) {
    const role = checked === undefined ? 'menuitem' : 'menuitemcheckbox';
    const b = el('button', { type: 'button', role, class: danger ? 'menu-danger' : false, 'data-testid': testid || false, 'aria-checked': checked === undefined ? false : String(checked) }, words);
    b.addEventListener('click', run);
    box.append(b);
  }
  show(box, by);
}

/** @param {HTMLElement} box @param {HTMLElement} by */
function show(box, by) {
  const floating = new Floating(box, by);
  for (const b of box.querySelectorAll('button')) b.addEventListener('click', () => floating.close(), { capture: true, once: true });
  box.querySelector('button')?.focus();
}

const emoji = '👍 ❤️ 😂 😮 😢 🙏 🎉 🔥 👀 ✅ 😀 😅 😊 😍 🤔 😎 😴 😭 😡 🥳 🤝 👏 🙌 💪 👌 ✌️ 👋 🤷 🤦 💯 ⭐ 💡 ☕ 🍕 🎂 🌍 🌈 🐱 🐶 🚀 🎵 ⚽ 📌 ❓ ❗ ➕ ❌ 💔'.split(' ');

/**
 * @param {HTMLElement} by
 * @param {(emoji: string) => void} chosen
 */
export function openEmoji(by, chosen) {
  if (by.getAttribute('aria-expanded') === 'true') {
    open?.close();
    return;
  }
  const box = el('div', { class: 'emoji', role: 'dialog', 'aria-label': 'Emoji', 'data-columns': '8', 'data-testid': 'emoji' });
  for (const e of emoji) {
    const b = el('button', { type: 'button', 'aria-label': e, 'data-emoji': e }, e);
    b.addEventListener('click', () => chosen(e));
    box.append(b);
  }
  show(box, by);
}

/** Closes whatever floats. */
export function closeFloating() {
  open?.close(false);
}
