import { accountWords } from './words.js';
import { $ } from './ui.js';

/** The fields that the server names at the start of what it says. */
const named = /^(email|username|password|name|code|login|current|with|about|user): ?/;

/**
 * A form whose work is done by the server: one try at a time, and what went
 * wrong is said under its fields, with the focus on the one it is about.
 */
export class ServerForm {
  #form;
  #error;
  #words;
  #busy = false;

  /**
   * @param {string} form id
   * @param {string} error id of the line that says what went wrong
   * @param {() => Promise<unknown>} work
   * @param {(err: any) => string} [words] what went wrong
   */
  constructor(form, error, work, words = accountWords) {
    this.#words = words;
    this.#form = $(form, HTMLFormElement);
    this.#error = $(error, HTMLElement);
    this.#form.addEventListener('submit', (e) => {
      e.preventDefault();
      void this.#try(work);
    });
    this.#form.addEventListener('input', () => this.calm());
  }

  /** @param {string} field name of an input; ''  for none @param {string} words */
  complain(field, words) {
    this.#error.textContent = words;
    this.#error.hidden = false;
    const input = this.#input(field);
    if (!input) return;
    input.setAttribute('aria-invalid', 'true');
    input.focus();
    input.select();
  }

  calm() {
    this.#error.hidden = true;
    this.#error.textContent = '';
    for (const input of this.#form.querySelectorAll('[aria-invalid]')) input.removeAttribute('aria-invalid');
  }

  /** @param {() => Promise<unknown>} work */
  async #try(work) {
    if (this.#busy) return;
    this.calm();
    this.#busy = true;
    this.#form.setAttribute('aria-busy', 'true');
    try {
      await work();
    } catch (err) {
      const field = err instanceof Mistake ? err.field : (named.exec(err instanceof Error ? err.message : '')?.[1] ?? '');
      this.complain(field || this.#likely(err), err instanceof Mistake ? err.message : this.#words(err));
    } finally {
      this.#busy = false;
      this.#form.removeAttribute('aria-busy');
    }
  }

  /** @param {any} err @returns {string} the field that such an error is about */
  #likely(err) {
    if (err?.code === 'credentials') return this.#input('code')?.value ? 'code' : this.#input('current') ? 'current' : 'password';
    return err?.code === 'code_invalid' || err?.code === 'needs_totp' ? 'code' : '';
  }

  /** @param {string} name */
  #input(name) {
    const input = name ? this.#form.elements.namedItem(name) : null;
    return input instanceof HTMLInputElement ? input : null;
  }
}

/** What the page itself sees is wrong with a field. */
export class Mistake extends Error {
  /** @param {string} field @param {string} words */
  constructor(field, words) {
    super(words);
    this.field = field;
  }
}

/** @param {string} email */
export function checkEmail(email) {
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) throw new Mistake('email', 'That is not an e-mail address.');
}

/** @param {string} password @param {string} [field] */
export function checkPassword(password, field = 'password') {
  if ([...password].length < 8) throw new Mistake(field, 'The password needs at least 8 characters.');
}

/**
 * What was typed or pasted of a code of digits.
 * @param {string} text
 * @param {number} length
 */
export function digitsOf(text, length) {
  return text.replace(/\D/g, '').slice(0, length);
}
