import { el, icon } from './ui.js';

/**
 * A list of short texts shown as chips before an input or a select.
 */
export class Chips {
  #box;
  #entry;
  #kind;
  #max;
  #label;
  #changed;
  /** @type {string[]} */
  #list = [];

  /**
   * @param {object} options
   * @param {HTMLElement} options.box
   * @param {HTMLInputElement | HTMLSelectElement} options.entry stands last in the box
   * @param {string} options.kind for data-testid: "tag", "language"
   * @param {number} options.max
   * @param {(value: string) => string} [options.label] how a value is shown
   * @param {(list: string[]) => void} options.changed
   */
  constructor({ box, entry, kind, max, label = (v) => v, changed }) {
    this.#box = box;
    this.#entry = entry;
    this.#kind = kind;
    this.#max = max;
    this.#label = label;
    this.#changed = changed;
    if (entry instanceof HTMLSelectElement) this.#wireSelect(entry);
    else this.#wireInput(entry);
  }

  get list() {
    return [...this.#list];
  }

  /** @param {string[]} list */
  set(list) {
    this.#list = [...new Set(list)].slice(0, this.#max);
    this.#draw();
  }

  /** Takes what is written in the entry and was not entered yet. */
  commit() {
    if (this.#entry instanceof HTMLSelectElement) return;
    for (const part of this.#entry.value.split(',')) this.#add(part);
    this.#entry.value = '';
  }

  /** @param {string} text */
  #add(text) {
    const value = text.normalize('NFKC').trim().replace(/\s+/g, ' ').toLowerCase();
    if (!value || this.#list.includes(value) || this.#list.length >= this.#max) return;
    if ([...value].length > 24) return;
    this.#list.push(value);
    this.#draw();
    this.#changed(this.list);
  }

  /** @param {string} value */
  #remove(value) {
    this.#list = this.#list.filter((v) => v !== value);
    this.#draw();
    this.#changed(this.list);
    this.#entry.focus();
  }

  /** @param {HTMLInputElement} input */
  #wireInput(input) {
    input.addEventListener('keydown', (e) => {
      if (e.key === 'Enter' && input.value.trim() && !e.isComposing) {
        e.preventDefault();
        this.commit();
      } else if (e.key === 'Backspace' && !input.value && this.#list.length) {
        this.#remove(this.#list[this.#list.length - 1]);
      }
    });
    input.addEventListener('input', () => {
      if (input.value.includes(',')) this.commit();
    });
    input.addEventListener('blur', () => this.commit());
  }

  /** @param {HTMLSelectElement} select */
  #wireSelect(select) {
    select.addEventListener('change', () => {
      this.#add(select.value);
      select.value = '';
    });
  }

  #draw() {
    for (const old of this.#box.querySelectorAll('.chip')) old.remove();
    for (const value of this.#list) {
      const name = this.#label(value);
      const remove = el('button', { type: 'button', 'aria-label': `Remove ${name}` }, icon('close'));
      remove.addEventListener('click', () => this.#remove(value));
      this.#entry.before(el('span', { class: 'chip', 'data-testid': `${this.#kind}-chip`, 'data-value': value }, el('span', {}, name), remove));
    }
    this.#entry.hidden = this.#list.length >= this.#max;
  }
}
