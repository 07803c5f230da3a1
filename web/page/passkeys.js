import { renameIn } from './rename.js';
import { $, el, say } from './ui.js';
import { ago } from './words.js';
import { passkeysWork } from '../sdk/rondo.js';

/** @typedef {import('../sdk/rondo.js').Account} Account */
/** @typedef {import('../sdk/rondo.js').Passkey} Passkey */
/** @typedef {import('./profile.js').Question} Question */

/** The list of passkeys in the account's security part. */
export class PasskeyList {
  #account;
  #ask;
  #work;

  /**
   * @param {object} options
   * @param {Account} options.account
   * @param {(q: Question) => void} options.ask for the password
   * @param {(work: () => Promise<unknown>) => Promise<void>} options.work does it, and says what went wrong
   */
  constructor({ account, ask, work }) {
    this.#account = account;
    this.#ask = ask;
    this.#work = work;
    const add = $('passkey-add', HTMLButtonElement);
    add.hidden = !passkeysWork();
    if (add.hidden) $('passkey-words', HTMLElement).textContent = 'This browser cannot use them at this address.';
    add.addEventListener('click', () =>
      this.#ask({ title: 'Add a passkey', words: 'Your browser asks next where to keep it: on this device, on a phone or on a security key.', button: 'Go on', work: (c) => this.#add(c) }));
  }

  async list() {
    await this.#work(async () => this.#draw(await this.#account.passkeys()));
  }

  // ---- inside ----

  /** @param {Passkey[]} list */
  #draw(list) {
    $('passkey-list', HTMLElement).replaceChildren(...list.map((k) => this.#item(k)));
  }

  /** @param {import('../sdk/rondo.js').Confirm} confirm */
  async #add(confirm) {
    const made = await this.#account.addPasskey(confirm);
    this.#draw(await this.#account.passkeys());
    say(`The passkey “${made.name}” is added`);
  }

  /** @param {Passkey} k */
  #item(k) {
    const rename = el('button', { type: 'button', class: 'quiet', 'data-testid': 'passkey-rename', 'aria-label': `Rename the passkey ${k.name}` }, 'Rename');
    const remove = el('button', { type: 'button', class: 'secondary', 'data-testid': 'passkey-delete', 'aria-label': `Delete the passkey ${k.name}` }, 'Delete');
    const now = Date.now();
    const used = k.last_used_at ? `used ${ago(k.last_used_at, now)}` : 'not used yet';
    const item = el('li', { 'data-testid': 'passkey', 'data-id': k.id }, el('div', {}, el('b', {}, k.name), el('p', { class: 'sub' }, `Added ${ago(k.created_at, now)}, ${used}`)), el('div', { class: 'row' }, rename, remove));
    rename.addEventListener('click', () =>
      renameIn(item, {
        name: k.name, label: 'Name of the passkey', testid: 'passkey', work: this.#work,
        save: (name) => this.#account.renamePasskey(k.id, name),
        draw: (fresh) => this.#item(fresh ?? k),
      }));
    remove.addEventListener('click', () => void this.#work(async () => {
      await this.#account.deletePasskey(k.id);
      const next = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      (next?.querySelector('button') ?? $('passkey-add', HTMLButtonElement)).focus();
      say(`The passkey “${k.name}” is deleted`);
    }));
    return item;
  }
}
