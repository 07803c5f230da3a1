import { Chips } from './chips.js';
import { Mistake, ServerForm, checkPassword, digitsOf } from './form.js';
import { fillLanguages, languageNames } from './landing.js';
import { notifyWords } from './notify.js';
import { PasskeyList } from './passkeys.js';
import { drawFace, profilePicture } from './picture.js';
import { qrPicture } from './qr.js';
import { renameIn } from './rename.js';
import { $, copyText, el, openDialog, say } from './ui.js';
import { accountWords, ago } from './words.js';

/** @typedef {import('../sdk/rondo.js').Account} Account */
/** @typedef {import('../sdk/rondo.js').Device} Device */
/** @typedef {import('../sdk/rondo.js').Confirm} Confirm */
/** @typedef {import('./notify.js').Notify} Notify */

const tabs = /** @type {const} */ (['profile', 'devices', 'security', 'data']);

/**
 * @typedef {object} Question what is asked before a step that matters
 * @property {string} title
 * @property {string} words
 * @property {string} button
 * @property {boolean} [danger] there is no way back
 * @property {(confirm: Confirm) => Promise<unknown>} work
 */

/** The dialog of the own account: profile, devices, security, data. */
export class AccountDialog {
  #dialog = $('account-dialog', HTMLDialogElement);
  #account;
  #interests;
  #languages;
  /** @type {Question | null} */
  #question = null;
  #profile;
  #passkeys;
  #password;
  #totp;
  /** @type {string[]} */
  #codes = [];
  #touched = false; // something was written into the profile
  #notify;

  /** @param {Account} account @param {Notify} notify */
  constructor(account, notify) {
    this.#account = account;
    this.#notify = notify;
    const names = languageNames();
    this.#interests = new Chips({ box: $('profile-interest-chips', HTMLElement), entry: $('profile-interests', HTMLInputElement), kind: 'interest', max: 10, changed: () => {} });
    this.#languages = new Chips({ box: $('profile-language-chips', HTMLElement), entry: $('profile-languages', HTMLSelectElement), kind: 'own-language', max: 2, label: names, changed: () => {} });
    fillLanguages($('profile-languages', HTMLSelectElement), names, []);
    this.#profile = new ServerForm('profile-form', 'profile-error', () => this.#saveProfile());
    this.#passkeys = new PasskeyList({ account, ask: (q) => this.#ask(q), work: (w) => this.#work(w) });
    this.#password = new ServerForm('password-form', 'password-error', () => this.#changePassword());
    this.#totp = new ServerForm('totp-form', 'totp-error', () => this.#confirmTotp());
    new ServerForm('confirm-form', 'confirm-error', () => this.#confirmed());
    this.#wireTabs();
    this.#wire();
    this.#wirePicture();
    account.on('user', (user) => {
      if (!user) this.close();
      else if (this.#dialog.open) this.#draw();
    });
  }

  open() {
    if (!this.#account.user) return;
    $('account-error', HTMLElement).hidden = true;
    this.#fill();
    this.#draw();
    this.#recovery([]);
    this.#enrolling(false);
    this.#show('profile');
    openDialog(this.#dialog);
    $('account-title', HTMLElement).focus();
    // What another device changed meanwhile; not over what is being written.
    this.#touched = false;
    this.#account.me().then(
      () => {
        if (!this.#touched) this.#fill();
      },
      (err) => this.#failed(err),
    );
  }

  close() {
    $('confirm-dialog', HTMLDialogElement).close();
    this.#dialog.close();
  }

  // ---- tabs ----

  #wireTabs() {
    for (const [i, name] of tabs.entries()) {
      const tab = $(`tab-${name}`, HTMLButtonElement);
      tab.addEventListener('click', () => this.#show(name));
      tab.addEventListener('keydown', (e) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[e.key];
        if (to === undefined) return;
        e.preventDefault();
        const next = tabs[(to + tabs.length) % tabs.length];
        this.#show(next);
        $(`tab-${next}`, HTMLButtonElement).focus();
      });
    }
  }

  /** @param {typeof tabs[number]} which */
  #show(which) {
    for (const said of this.#dialog.querySelectorAll('[data-status]')) said.textContent = '';
    for (const name of tabs) {
      const tab = $(`tab-${name}`, HTMLButtonElement);
      tab.setAttribute('aria-selected', String(name === which));
      tab.tabIndex = name === which ? 0 : -1;
      $(`panel-${name}`, HTMLElement).hidden = name !== which;
    }
    if (which === 'devices') {
      void this.#listDevices();
      void this.#drawNotify();
    }
    if (which === 'security') void this.#passkeys.list();
  }

  // ---- wiring ----

  #wire() {
    const click = (/** @type {string} */ id, /** @type {() => unknown} */ run) => $(id, HTMLButtonElement).addEventListener('click', () => void run());
    click('logout', () => this.#work(() => this.#account.logout()));
    click('logout-all', () => this.#work(() => this.#account.logout({ all: true })));
    click('export', () => this.#work(() => this.#export()));
    click('totp-cancel', () => this.#enrolling(false));
    click('recovery-done', () => this.#recovery([]));
    click('recovery-copy', async () => say((await copyText(this.#codes.join('\n'))) ? 'Copied' : 'Copying did not work'));
    click('recovery-save', () => saveFile('rondo-recovery-codes.txt', `${this.#codes.join('\n')}\n`, 'text/plain'));
    click('totp-on', () =>
      this.#ask({ title: 'Turn the second step on', words: 'You will need an authenticator app on your phone.', button: 'Go on', work: (c) => this.#enrol(c) }));
    click('totp-off', () =>
      this.#ask({ title: 'Turn the second step off?', words: 'The password alone will do to log in.', button: 'Turn off', work: (c) => this.#account.disableTotp(c) }));
    click('totp-codes', () =>
      this.#ask({ title: 'New recovery codes?', words: 'The old ones stop working.', button: 'Make new ones', work: async (c) => this.#recovery(await this.#account.newRecoveryCodes(c)) }));
    click('deactivate', () =>
      this.#ask({ title: 'Put the account to rest?', words: 'You are logged out on every device, and nobody sees your picture. Nothing is deleted: the next login brings the account back.', button: 'Put to rest', work: async (c) => { await this.#account.deactivate(c); say('Your account rests. The next login brings it back.'); } }));
    click('delete', () =>
      this.#ask({ title: 'Delete the account?', words: 'Your name, picture, e-mail address, devices and settings are deleted on the server, at once and for good. You are logged out everywhere, and your username is free for others.', button: 'Delete for good', danger: true, work: async (c) => { await this.#account.delete(c); say('Your account is deleted'); } }));
    $('notify', HTMLInputElement).addEventListener('change', () => void this.#work(() => this.#switchNotify()));
    const code = $('totp-code', HTMLInputElement);
    code.addEventListener('input', () => {
      code.value = digitsOf(code.value, 6);
      if (code.value.length === 6) $('totp-form', HTMLFormElement).requestSubmit();
    });
    $('confirm-dialog', HTMLDialogElement).addEventListener('close', () => {
      for (const id of ['confirm-password', 'confirm-code']) $(id, HTMLInputElement).value = '';
    });
    this.#dialog.addEventListener('close', () => {
      for (const id of ['password-now', 'password-code', 'password-new']) $(id, HTMLInputElement).value = '';
      this.#recovery([]);
      this.#enrolling(false);
    });
  }

  /**
   * Does what needs no form.
   * @param {() => Promise<unknown>} work
   */
  async #work(work) {
    try {
      await work();
    } catch (err) {
      this.#failed(err);
    }
  }

  /** @param {unknown} err */
  #failed(err) {
    const box = $('account-error', HTMLElement);
    box.textContent = notifyWords(err) || accountWords(err);
    box.hidden = false;
  }

  // ---- profile ----

  #wirePicture() {
    for (const type of ['input', 'click']) $('profile-form', HTMLFormElement).addEventListener(type, () => (this.#touched = true));
    const file = $('picture-file', HTMLInputElement);
    $('picture-choose', HTMLButtonElement).addEventListener('click', () => file.click());
    $('picture-remove', HTMLButtonElement).addEventListener('click', () => {
      $('picture-choose', HTMLButtonElement).focus(); // what is pressed goes
      void this.#setPicture(async () => '', 'Your picture is removed');
    });
    file.addEventListener('change', () => {
      const [chosen] = file.files ?? [];
      if (chosen) void this.#setPicture(() => profilePicture(chosen), 'Your picture is saved');
      file.value = ''; // the same one may be chosen again
    });
  }

  /**
   * @param {() => Promise<string>} make
   * @param {string} words
   */
  async #setPicture(make, words) {
    this.#profile.calm();
    const part = $('profile-face', HTMLElement);
    part.classList.add('busy');
    try {
      await this.#update({ avatar: await make() });
      say(words);
    } catch (err) {
      this.#profile.complain('', err instanceof Mistake ? err.message : accountWords(err));
    } finally {
      part.classList.remove('busy');
    }
  }

  /**
   * Saves, also where another device saved meanwhile: what is not in the patch
   * stays as that one left it.
   * @param {Parameters<Account['update']>[0]} patch
   */
  async #update(patch) {
    try {
      return await this.#account.update(patch);
    } catch (err) {
      if (/** @type {any} */ (err).code !== 'changed') throw err;
      await this.#account.me();
      return this.#account.update(patch);
    }
  }

  /** Puts the account's values into the fields. */
  #fill() {
    const user = this.#account.user;
    if (!user) return;
    $('profile-name', HTMLInputElement).value = user.name;
    this.#interests.set(user.interests);
    this.#languages.set(user.languages);
  }

  #draw() {
    const user = this.#account.user;
    if (!user) return;
    $('account-title', HTMLElement).textContent = user.name;
    drawFace($('profile-face', HTMLElement), user.name, user.avatar);
    $('picture-choose', HTMLElement).textContent = user.avatar ? 'Change' : 'Choose a picture';
    $('picture-choose', HTMLElement).setAttribute('aria-label', user.avatar ? 'Change the picture' : 'Choose a picture');
    $('picture-remove', HTMLElement).hidden = !user.avatar;
    $('account-email', HTMLElement).textContent = `${user.username}, ${user.email}`;
    $('password-user', HTMLInputElement).value = user.username;
    $('totp-words', HTMLElement).textContent = user.totp ? 'On. A password alone lets nobody in.' : 'Off. With an authenticator app, a stolen password is not enough.';
    $('totp-on', HTMLElement).hidden = user.totp;
    $('totp-off', HTMLElement).hidden = $('totp-codes', HTMLElement).hidden = !user.totp;
    $('password-code-field', HTMLElement).hidden = !user.totp;
  }

  async #saveProfile() {
    this.#interests.commit();
    const name = $('profile-name', HTMLInputElement).value.trim();
    if (!name) throw new Mistake('name', 'Others need something to call you.');
    try {
      await this.#account.update({ name, interests: this.#interests.list, languages: this.#languages.list });
    } catch (err) {
      if (/** @type {any} */ (err).code === 'changed') {
        await this.#account.me();
        this.#fill();
      }
      throw err;
    }
    this.#fill();
    say('Saved');
  }

  // ---- devices ----

  async #listDevices() {
    await this.#work(async () => {
      const list = await this.#account.devices();
      $('device-list', HTMLElement).replaceChildren(...list.map((d) => this.#device(d)));
    });
  }

  /** @param {Device} d */
  #device(d) {
    const rename = el('button', { type: 'button', class: 'quiet', 'data-testid': 'device-rename', 'aria-label': `Rename ${d.name}` }, 'Rename');
    const revoke = el('button', { type: 'button', class: 'secondary', 'data-testid': 'device-revoke', 'aria-label': `Log ${d.name} out` }, 'Log out');
    const where = el('p', { class: 'sub' }, d.current ? el('span', { class: 'here' }, 'This device') : `Seen ${ago(d.last_seen_at, Date.now())}`, d.address ? `, ${d.address}` : '');
    const item = el('li', { 'data-testid': 'device', 'data-id': d.id, 'data-current': d.current }, el('div', {}, el('b', { title: d.user_agent }, d.name), where), el('div', { class: 'row' }, rename, d.current ? '' : revoke));
    rename.addEventListener('click', () =>
      renameIn(item, {
        name: d.name, label: 'Name of the device', testid: 'device', work: (w) => this.#work(w),
        save: (name) => this.#account.renameDevice(d.id, name),
        draw: (fresh) => this.#device(fresh ?? d),
      }));
    revoke.addEventListener('click', () => void this.#work(async () => {
      await this.#account.revokeDevice(d.id);
      const next = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      /** @type {HTMLElement | null | undefined} */ (next?.querySelector('button'))?.focus();
      say(`${d.name} is logged out`);
    }));
    return item;
  }

  // ---- notifications ----

  async #drawNotify() {
    const state = await this.#notify.state().catch(() => /** @type {const} */ ('none'));
    $('notify-part', HTMLElement).hidden = state === 'none';
    const box = $('notify', HTMLInputElement);
    box.checked = state === 'on';
    box.disabled = state === 'blocked';
    $('notify-words', HTMLElement).textContent = state === 'blocked' ? notifyWords({ code: 'blocked' }) : 'Of new messages while the page is closed. Only this device can read them.';
  }

  async #switchNotify() {
    const box = $('notify', HTMLInputElement);
    $('account-error', HTMLElement).hidden = true;
    try {
      await (box.checked ? this.#notify.on() : this.#notify.off());
      say(box.checked ? 'This device tells you of new messages' : 'This device tells you of nothing any more');
    } finally {
      await this.#drawNotify();
    }
  }

  // ---- security ----

  async #changePassword() {
    const current = $('password-now', HTMLInputElement).value;
    const password = $('password-new', HTMLInputElement).value;
    const code = $('password-code', HTMLInputElement).value.trim();
    if (!current) throw new Mistake('current', 'Write the password that you have now.');
    checkPassword(password);
    await this.#account.changePassword({ current, password, ...(code ? { code } : {}) });
    $('password-form', HTMLFormElement).reset();
    this.#password.calm();
    this.#draw();
    say('Your password is changed');
  }

  /** @param {Confirm} confirm */
  async #enrol(confirm) {
    const { secret, url } = await this.#account.enrolTotp(confirm);
    if (!url.startsWith('otpauth://')) throw new Error('no otpauth address');
    $('totp-secret', HTMLElement).textContent = secret.replace(/(.{4})(?=.)/g, '$1 ');
    $('totp-link', HTMLAnchorElement).href = url;
    $('totp-qr', HTMLElement).replaceChildren(qrPicture(url, 'QR code for the authenticator app'));
    this.#enrolling(true);
    $('totp-code', HTMLInputElement).focus();
  }

  /** @param {boolean} on */
  #enrolling(on) {
    $('totp-form', HTMLElement).hidden = !on;
    $('totp-buttons', HTMLElement).hidden = on;
    $('passkey-part', HTMLElement).hidden = $('password-part', HTMLElement).hidden = on;
    if (on) return;
    $('totp-code', HTMLInputElement).value = '';
    $('totp-secret', HTMLElement).textContent = '';
    $('totp-qr', HTMLElement).replaceChildren();
    $('totp-link', HTMLAnchorElement).removeAttribute('href');
    this.#totp.calm();
  }

  async #confirmTotp() {
    const code = digitsOf($('totp-code', HTMLInputElement).value, 6);
    if (code.length !== 6) throw new Mistake('code', 'The code has 6 digits.');
    const codes = await this.#account.confirmTotp(code);
    this.#enrolling(false);
    this.#recovery(codes);
    say('The second step is on');
  }

  /** @param {string[]} codes to show; none: they were kept */
  #recovery(codes) {
    this.#codes = codes;
    const shown = codes.length > 0;
    $('recovery', HTMLElement).hidden = !shown;
    $('totp-buttons', HTMLElement).hidden = shown;
    $('passkey-part', HTMLElement).hidden = $('password-part', HTMLElement).hidden = shown;
    $('recovery-list', HTMLElement).replaceChildren(...codes.map((c) => el('li', {}, el('code', {}, c))));
    if (shown) $('recovery-save', HTMLElement).focus();
  }

  // ---- data ----

  async #export() {
    saveFile('rondo-export.json', JSON.stringify(await this.#account.export(), null, 2), 'application/json');
    say('Saved');
  }

  // ---- asking for the password again ----

  /** @param {Question} q */
  #ask(q) {
    this.#question = q;
    const totp = this.#account.user?.totp === true;
    $('confirm-title', HTMLElement).textContent = q.title;
    $('confirm-words', HTMLElement).textContent = q.words;
    const button = $('confirm-submit', HTMLButtonElement);
    button.textContent = q.button;
    button.className = q.danger ? 'danger' : 'primary';
    $('confirm-code-field', HTMLElement).hidden = !totp;
    $('confirm-sure-field', HTMLElement).hidden = !q.danger;
    $('confirm-sure', HTMLInputElement).checked = false;
    $('confirm-error', HTMLElement).hidden = true;
    openDialog($('confirm-dialog', HTMLDialogElement));
    $('confirm-password', HTMLInputElement).focus();
  }

  async #confirmed() {
    const q = this.#question;
    if (!q) return;
    const password = $('confirm-password', HTMLInputElement).value;
    const code = $('confirm-code', HTMLInputElement).value.trim();
    if (!password) throw new Mistake('password', 'Write your password.');
    if (q.danger && !$('confirm-sure', HTMLInputElement).checked) throw new Mistake('', 'Say first that you know there is no way back.');
    await q.work({ password, ...(code ? { code } : {}) });
    $('confirm-dialog', HTMLDialogElement).close();
    // Closing gives the focus back to the button that asked, which may be gone.
    if (!$('totp-form', HTMLElement).hidden) $('totp-code', HTMLInputElement).focus();
    else if (!$('recovery', HTMLElement).hidden) $('recovery-save', HTMLElement).focus();
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
function saveFile(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  el('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
