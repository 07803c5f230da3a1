import { drawFace } from './picture.js';
import { el } from './ui.js';

/** @typedef {{id: string, name: string}} Person */

/** Completion of "@na" to somebody's name, while one writes. */
export class Mentions {
  /** Who can be mentioned. @type {() => Person[]} */
  people = () => [];

  #input;
  #box;
  /** @type {Person[]} */
  #found = [];
  #at = 0;
  /** Who was named in this text, by name. @type {Map<string, string>} */
  #named = new Map();

  /** @param {HTMLTextAreaElement} input @param {HTMLElement} box */
  constructor(input, box) {
    this.#input = input;
    this.#box = box;
    input.addEventListener('input', () => this.#look());
    input.addEventListener('blur', () => setTimeout(() => this.close(), 150));
    box.addEventListener('pointerdown', (e) => e.preventDefault()); // the focus stays
  }

  get open() {
    return !this.#box.hidden;
  }

  close() {
    this.#box.hidden = true;
    this.#box.replaceChildren();
    this.#input.removeAttribute('aria-activedescendant');
  }

  /** Forgets who was named. */
  clear() {
    this.#named.clear();
    this.close();
  }

  /** @param {KeyboardEvent} e @returns {boolean} whether it was for us */
  key(e) {
    if (!this.open) return false;
    if (e.key === 'Escape') this.close();
    else if (e.key === 'Enter' || e.key === 'Tab') this.#choose(this.#found[this.#at]);
    else if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      this.#at = (this.#at + (e.key === 'ArrowDown' ? 1 : -1) + this.#found.length) % this.#found.length;
      this.#draw();
    } else return false;
    e.preventDefault();
    e.stopPropagation();
    return true;
  }

  /** The text as it is sent. @param {string} text */
  encode(text) {
    for (const [name, id] of [...this.#named].sort((a, b) => b[0].length - a[0].length)) text = text.replaceAll(`@${name}`, `<@${id}>`);
    return text;
  }

  /** A text that was sent, as it is written. @param {string} text @param {(id: string) => {name: string}} who */
  decode(text, who) {
    return text.replace(/<@([A-Za-z0-9_-]{1,64})>/g, (_, id) => {
      const { name } = who(id);
      this.#named.set(name, id);
      return `@${name}`;
    });
  }

  #look() {
    const before = this.#input.value.slice(0, this.#input.selectionStart);
    const asked = /(?:^|\s)@([^\s@]{0,30})$/.exec(before)?.[1];
    if (asked === undefined) {
      this.close();
      return;
    }
    const want = asked.toLocaleLowerCase();
    this.#found = this.people()
      .filter((p) => p.name.toLocaleLowerCase().split(/\s+/).some((part) => part.startsWith(want)) || p.name.toLocaleLowerCase().startsWith(want))
      .slice(0, 6);
    this.#at = 0;
    if (this.#found.length) this.#draw();
    else this.close();
  }

  #draw() {
    this.#box.hidden = false;
    this.#box.replaceChildren(
      ...this.#found.map((p, i) => {
        const face = el('span', { class: 'face', 'aria-hidden': 'true' });
        drawFace(face, p.name);
        const li = el('li', { role: 'option', id: `mention-${i}`, 'aria-selected': String(i === this.#at) }, face, el('span', { dir: 'auto' }, p.name));
        li.addEventListener('click', () => this.#choose(p));
        return li;
      }),
    );
    this.#input.setAttribute('aria-activedescendant', `mention-${this.#at}`);
  }

  /** @param {Person} p */
  #choose(p) {
    const input = this.#input;
    const end = input.selectionStart;
    const start = input.value.lastIndexOf('@', end - 1);
    this.#named.set(p.name, p.id);
    input.setRangeText(`@${p.name} `, start, end, 'end');
    this.close();
    input.dispatchEvent(new Event('input', { bubbles: true }));
  }
}
