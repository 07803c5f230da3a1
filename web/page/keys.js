/**
 * Keyboard shortcuts of one key. They never fire while somebody writes, in a
 * dialog, or together with another key, and can be switched off.
 */
export class Keys {
  on = true;
  /** @type {Map<string, {words: string, run: () => void}>} */
  #keys = new Map();

  constructor() {
    addEventListener('keydown', (e) => this.#pressed(e));
  }

  /**
   * @param {string} key as KeyboardEvent.key, lower case
   * @param {string} words what it does
   * @param {() => void} run
   */
  add(key, words, run) {
    this.#keys.set(key, { words, run });
  }

  /** @returns {{key: string, words: string}[]} */
  get list() {
    return [...this.#keys].map(([key, { words }]) => ({ key, words }));
  }

  /** @param {KeyboardEvent} e */
  #pressed(e) {
    if (!this.on || e.defaultPrevented || e.ctrlKey || e.altKey || e.metaKey || e.repeat || e.isComposing) return;
    if (document.querySelector('dialog[open]') || writes(e.target)) return;
    const key = this.#keys.get(e.key.toLowerCase());
    if (!key) return;
    e.preventDefault();
    key.run();
  }
}

/** @param {EventTarget | null} target */
function writes(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button', 'range'].includes(target.type);
}
