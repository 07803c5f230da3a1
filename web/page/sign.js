import { Mistake, ServerForm, checkEmail, checkPassword, digitsOf } from './form.js';
import { $, openDialog, say } from './ui.js';
import { accountWords } from './words.js';
import { passkeysFill, passkeysWork } from '../sdk/rondo.js';

/** @typedef {import('../sdk/rondo.js').Account} Account */
/** @typedef {import('../sdk/rondo.js').Login} Login */
/** @typedef {import('../sdk/rondo.js').Rondo} Rondo */
/** @typedef {'login' | 'second' | 'signup' | 'code' | 'forgot' | 'reset'} Step */

const codeDigits = 8;
const resendAfter = 30_000; // ms

/** @type {Readonly<Record<Step, string>>} */
const titles = Object.freeze({
  login: 'Log in',
  second: 'One more step',
  signup: 'Create an account',
  code: 'Look into your mail',
  forgot: 'A new password',
  reset: 'Look into your mail',
});

/** The dialog that signs up, logs in, and sets a forgotten password. It covers a call without touching it. */
export class SignDialog {
  #dialog = $('sign-dialog', HTMLDialogElement);
  #account;
  #rondo;
  #name;
  #done;
  /** @type {Step} */
  #step = 'login';
  #email = ''; // that a code went to
  #codeUntil = 0;
  #recovery = false; // a recovery code is asked for
  #wait = 0; // interval that counts down to the next mail
  #asking = /** @type {AbortController | null} */ (null); // the browser for a passkey
  /** @type {Record<string, ServerForm>} */
  #forms = {};

  /**
   * @param {object} options
   * @param {Account} options.account
   * @param {Rondo} options.rondo
   * @param {() => string} options.name what the guest goes by
   * @param {(login: Login, fresh: boolean) => void} options.done fresh: the account is new
   */
  constructor({ account, rondo, name, done }) {
    this.#account = account;
    this.#rondo = rondo;
    this.#name = name;
    this.#done = done;
    this.#wire();
  }

  /** @param {Step} [step] default: where it was left, else logging in */
  open(step) {
    if (this.#step === 'code' && Date.now() < this.#codeUntil) step = 'code';
    this.#show(step ?? (this.#step === 'reset' && Date.now() < this.#codeUntil ? 'reset' : 'login'));
    openDialog(this.#dialog);
    this.#focus();
    void this.#offer();
  }

  close() {
    this.#dialog.close();
  }

  // ---- inside ----

  #wire() {
    /** @type {[Step, () => Promise<unknown>][]} */
    const steps = [
      ['login', () => this.#login()],
      ['second', () => this.#login(value('second-code'))],
      ['signup', () => this.#signUp()],
      ['code', () => this.#verify()],
      ['forgot', () => this.#forgot()],
      ['reset', () => this.#reset()],
    ];
    for (const [step, work] of steps) this.#forms[step] = new ServerForm(`step-${step}`, `${step}-error`, work);
    for (const b of this.#dialog.querySelectorAll('[data-step]')) {
      b.addEventListener('click', () => {
        this.#show(/** @type {Step} */ (/** @type {HTMLElement} */ (b).dataset.step));
        this.#focus();
      });
    }
    this.#wireCode('mail-code', 'step-code');
    this.#wireCode('reset-code', '');
    const passkey = $('login-passkey', HTMLButtonElement);
    passkey.hidden = !passkeysWork();
    passkey.addEventListener('click', () => void this.#byPasskey());
    $('second-other', HTMLButtonElement).addEventListener('click', () => this.#second(!this.#recovery));
    $('code-again', HTMLButtonElement).addEventListener('click', () => void this.#again('code'));
    $('reset-again', HTMLButtonElement).addEventListener('click', () => void this.#again('reset'));
    this.#dialog.addEventListener('close', () => {
      this.#asking?.abort();
      this.#asking = null;
      this.#forgetSecrets();
    });
  }

  /**
   * Takes eight digits out of whatever is typed or pasted.
   * @param {string} id
   * @param {string} form to send once they are there; '' for none
   */
  #wireCode(id, form) {
    const input = $(id, HTMLInputElement);
    input.addEventListener('input', (e) => {
      if (/** @type {InputEvent} */ (e).isComposing) return;
      const digits = digitsOf(input.value, codeDigits);
      if (digits !== input.value) input.value = digits;
      if (form && digits.length === codeDigits) $(form, HTMLFormElement).requestSubmit();
    });
  }

  async #signUp() {
    const email = value('signup-email').trim();
    const username = value('signup-username').trim().toLowerCase();
    const password = $('signup-password', HTMLInputElement).value;
    checkEmail(email);
    if (!/^[a-z0-9_]{3,32}$/.test(username)) throw new Mistake('username', 'A username has 3 to 32 letters, digits or _.');
    checkPassword(password);
    const name = this.#name();
    const guest = this.#rondo.guest;
    const { expires_at } = await this.#account.register({ email, username, password, ...(name ? { name } : {}), ...(guest ? { guest } : {}) });
    this.#sent(email, expires_at, 'code');
  }

  async #verify() {
    const code = digitsOf(value('mail-code'), codeDigits);
    if (code.length !== codeDigits) throw new Mistake('code', 'The code has 8 digits.');
    try {
      this.#enter(await this.#account.verify(this.#email, code), true);
    } catch (err) {
      if (/** @type {any} */ (err).code !== 'taken') throw err;
      this.#show('signup');
      this.#forms.signup.complain('username', 'Somebody has taken that username meanwhile. Choose another one.');
    }
  }

  /** @param {string} [code] of the second step */
  async #login(code = '') {
    const login = value('login-name').trim();
    const password = $('login-password', HTMLInputElement).value;
    if (!login) throw new Mistake('login', 'Write your e-mail address or username.');
    if (!password) throw new Mistake('password', 'Write your password.');
    if (this.#step === 'second' && !code.trim()) throw new Mistake('code', 'Write the code.');
    try {
      this.#enter(await this.#account.login({ login, password, ...(code ? { code: code.trim() } : {}) }), false);
    } catch (err) {
      const problem = /** @type {any} */ (err).code;
      if (problem === 'credentials' && code) throw new Mistake('code', 'That code is wrong or used already.');
      if (problem !== 'needs_totp' || code) throw err;
      this.#second(false);
    }
  }

  /** Has the browser offer passkeys where the name is typed, as long as the dialog is open. */
  async #offer() {
    if (!(await passkeysFill()) || !this.#dialog.open) return;
    await this.#passkey(true);
  }

  async #byPasskey() {
    this.#forms.login.calm();
    const button = $('login-passkey', HTMLButtonElement);
    button.setAttribute('aria-busy', 'true');
    await this.#passkey(false);
    button.removeAttribute('aria-busy');
    if (this.#dialog.open && !this.#asking) void this.#offer();
  }

  /**
   * One at a time: the browser has one such question open.
   * @param {boolean} fill
   */
  async #passkey(fill) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const login = await this.#account.loginByPasskey({ fill, signal: asking.signal });
      if (this.#asking === asking) this.#enter(login, false);
    } catch (err) {
      if (this.#asking !== asking) return; // another one is asked, or the dialog is closed
      this.#asking = null;
      const { code } = /** @type {any} */ (err);
      if (fill && code !== 'credentials' && code !== 'code_invalid' && code !== 'forbidden') return; // nobody asked for it
      this.#show('login');
      this.#forms.login.complain('', passkeyWords(err));
    }
  }

  async #forgot() {
    const email = value('forgot-email').trim();
    checkEmail(email);
    const { expires_at } = await this.#account.forgot(email);
    this.#sent(email, expires_at, 'reset');
  }

  async #reset() {
    const code = digitsOf(value('reset-code'), codeDigits);
    const password = $('reset-password', HTMLInputElement).value;
    if (code.length !== codeDigits) throw new Mistake('code', 'The code has 8 digits.');
    checkPassword(password);
    await this.#account.reset({ email: this.#email, code, password });
    say('Your password is set');
    $('login-name', HTMLInputElement).value = this.#email;
    $('login-password', HTMLInputElement).value = password;
    this.#show('login');
    $('step-login', HTMLFormElement).requestSubmit();
  }

  /**
   * @param {Login} login
   * @param {boolean} fresh
   */
  #enter(login, fresh) {
    this.#step = 'login';
    this.#dialog.close();
    this.#done(login, fresh);
  }

  /**
   * A code is on its way.
   * @param {string} email
   * @param {number} until
   * @param {'code' | 'reset'} step
   */
  #sent(email, until, step) {
    this.#email = email;
    this.#codeUntil = until;
    const words =
      step === 'code'
        ? `We sent a code to ${email}. It is good for 10 minutes.`
        : `If ${email} has an account, a code is on its way. It is good for 10 minutes.`;
    $(`${step}-words`, HTMLElement).textContent = words;
    $(step === 'code' ? 'mail-code' : 'reset-code', HTMLInputElement).value = '';
    this.#countDown(step, resendAfter);
    this.#show(step);
    this.#focus();
  }

  /** @param {'code' | 'reset'} step */
  async #again(step) {
    const ask = step === 'code' ? this.#account.resend(this.#email) : this.#account.forgot(this.#email);
    this.#countDown(step, resendAfter);
    this.#forms[step].calm();
    this.#focus();
    try {
      this.#codeUntil = (await ask).expires_at;
      say('A new code is on its way');
    } catch (err) {
      const { retryMs = 0, code = '' } = /** @type {any} */ (err);
      if (code === 'rate_limited') this.#countDown(step, Math.max(retryMs, resendAfter));
      this.#forms[step].complain('', code === 'rate_limited' ? 'A code was sent a moment ago. Please wait a little.' : 'The code could not be sent. Please try again.');
    }
  }

  /**
   * @param {'code' | 'reset'} step
   * @param {number} ms
   */
  #countDown(step, ms) {
    const button = $(`${step}-again`, HTMLButtonElement);
    const end = Date.now() + ms;
    const draw = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Send it again in ${left} s` : 'Send it again';
      if (left <= 0) clearInterval(this.#wait);
    };
    clearInterval(this.#wait);
    this.#wait = window.setInterval(draw, 1000);
    draw();
  }

  /** @param {boolean} recovery */
  #second(recovery) {
    this.#recovery = recovery;
    const input = $('second-code', HTMLInputElement);
    input.value = '';
    input.inputMode = recovery ? 'text' : 'numeric';
    const label = recovery ? 'Recovery code' : 'Code';
    if (input.labels?.[0]) input.labels[0].textContent = label;
    $('second-words', HTMLElement).textContent = recovery ? 'One of the codes that you kept. Each works once.' : 'Write the six digits that your authenticator app shows.';
    $('second-other', HTMLButtonElement).textContent = recovery ? 'Use the app' : 'Use a recovery code';
    this.#show('second');
    this.#focus();
  }

  /** @param {Step} step */
  #show(step) {
    this.#step = step;
    for (const name of /** @type {Step[]} */ (Object.keys(titles))) $(`step-${name}`, HTMLFormElement).hidden = name !== step;
    for (const form of Object.values(this.#forms)) form.calm();
    $('sign-title', HTMLElement).textContent = titles[step];
    if (step !== 'signup') return;
    $('signup-words', HTMLElement).textContent = this.#rondo.room
      ? 'Your call goes on meanwhile, and whom you blocked stays blocked.'
      : 'Your name and whom you blocked stay with you, on every device.';
  }

  /** The first empty field of the step. */
  #focus() {
    const inputs = [...this.#dialog.querySelectorAll('.step:not([hidden]) input')].filter((e) => e instanceof HTMLInputElement);
    (inputs.find((i) => !i.value) ?? inputs[0])?.focus();
  }

  #forgetSecrets() {
    for (const id of ['login-password', 'second-code', 'reset-code', 'reset-password', 'mail-code', 'signup-password']) $(id, HTMLInputElement).value = '';
    if (this.#step === 'second') this.#step = 'login';
  }
}

/** @param {any} err */
function passkeyWords(err) {
  if (err.code === 'credentials') return 'That passkey does not work here. It may have been deleted.';
  if (err.code === 'code_invalid') return 'That took too long. Please try again.';
  if (err.code === 'not_found') return 'Passkeys do not work at this address.';
  return accountWords(err);
}

/** @param {string} id */
function value(id) {
  return $(id, HTMLInputElement).value;
}
