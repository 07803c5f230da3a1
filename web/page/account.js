import { Account } from '../sdk/rondo.js';
import { Notify } from './notify.js';
import { drawFace } from './picture.js';
import { AccountDialog } from './profile.js';
import { SignDialog } from './sign.js';
import { $, complain, say } from './ui.js';

/** @typedef {import('../sdk/rondo.js').Login} Login */
/** @typedef {import('../sdk/rondo.js').Rondo} Rondo */

const renewBefore = 60_000; // ms before the tokens of the open connection end
const tryAgain = 20_000; // ms

/**
 * The page's part that knows accounts: the buttons, the dialogs, and that the
 * open connection is always of who is logged in. A call is never given up for it.
 */
export class AccountPart {
  account = new Account();
  #rondo = /** @type {Rondo | null} */ (null);
  #sign = /** @type {SignDialog | null} */ (null);
  #dialog = /** @type {AccountDialog | null} */ (null);
  #notify = new Notify(this.account);
  #name = () => '';
  #changed = () => {};
  #late = false; // the connection is still of who we were before
  #timer = 0;

  /**
   * @param {Rondo} rondo
   * @param {object} options
   * @param {() => string} options.name what a guest goes by here
   * @param {() => void} options.changed who we are changed
   * @param {(user: import('../sdk/rondo.js').AccountUser | null) => void} options.profile it is another one
   */
  attach(rondo, { name, changed, profile }) {
    this.#rondo = rondo;
    this.#name = name;
    this.#changed = changed;
    const { account } = this;
    this.#sign = new SignDialog({ account, rondo, name, done: (login, fresh) => this.#entered(login, fresh) });
    this.#dialog = new AccountDialog(account, this.#notify);
    for (const id of ['account-open', 'extras-account', 'as-user-change']) {
      $(id, HTMLButtonElement).addEventListener('click', () => this.open(id === 'extras-account' ? 'signup' : undefined));
    }
    account.on('user', (user) => {
      if (!user) this.#left();
      profile(user);
      this.#draw();
    });
    rondo.on('session', () => this.#draw());
    rondo.on('user', () => this.#draw());
    addEventListener('storage', (e) => {
      if (e.key === 'rondo.account') this.#otherTab(e.newValue !== null);
    });
    void this.#restore();
  }

  /** Whether somebody is logged in, as far as is known. */
  get signedIn() {
    return this.account.user !== null || (this.account.known && this.#rondo?.user?.guest !== true);
  }

  /** @param {'login' | 'signup'} [step] for who is not logged in */
  open(step) {
    if (this.account.user) this.#dialog?.open();
    else this.#sign?.open(step);
  }

  /** Nothing goes on that a new connection would end. */
  idle() {
    if (!this.#late) return;
    this.#late = false;
    this.#rondo?.restart();
  }

  /** The server ended our session as not allowed any more: finds out why, and comes back. */
  async ended() {
    const { account } = this;
    if (!account.known && this.#rondo?.user?.guest !== false) return false;
    await account.leaving;
    try {
      if (account.known) await account.renew();
    } catch (err) {
      if (/** @type {any} */ (err).code !== 'unauthorized') return false;
      complain('You were logged out here: another device of yours did that, or the password was changed. You are a guest now.', 'auth');
      say(''); // it is said already
    }
    if (this.#rondo?.status === 'closed') this.#rondo.restart(account.user ? undefined : this.#name());
    return true;
  }

  // ---- inside ----

  async #restore() {
    try {
      if (await this.account.restore()) this.#renewAt(this.account.until);
      else void this.#notify.follow(null).catch(() => {}); // the session may have run out
    } catch {
      if (this.account.known) this.#timer = window.setTimeout(() => void this.#restore(), tryAgain);
    }
    this.#draw();
  }

  /**
   * @param {Login} login
   * @param {boolean} fresh the account is new
   */
  #entered(login, fresh) {
    say(fresh ? `Welcome, ${login.user.name}` : `You are logged in as ${login.user.name}`);
    void this.#adopt(login);
  }

  /**
   * Makes the open connection that of the account: at once where the server lets
   * it be, else as soon as no call is on.
   * @param {Login} login
   */
  async #adopt(login) {
    const rondo = this.#rondo;
    if (!rondo) return;
    this.#renewAt(login.access_expires_at);
    try {
      if (!login.ticket) throw new Error('no ticket');
      await rondo.authenticate(login.ticket);
      this.#late = false;
    } catch {
      if (rondo.user?.guest === false && rondo.user.id === login.user.id) return; // it is already
      if (rondo.room) {
        this.#late = true;
        say(`From your next call on you are ${login.user.name}`);
      } else rondo.restart();
    }
  }

  /** @param {number} until Unix milliseconds */
  #renewAt(until) {
    clearTimeout(this.#timer);
    const spread = 15_000 * Math.random(); // several tabs take turns
    this.#timer = window.setTimeout(() => void this.#renew(), Math.max(5000, until - Date.now() - renewBefore - spread));
  }

  async #renew() {
    if (!this.account.known) return;
    try {
      await this.#adopt(await this.account.renew());
    } catch (err) {
      if (this.account.known) this.#timer = window.setTimeout(() => void this.#renew(), tryAgain);
    }
  }

  /** Nobody is logged in any more. */
  #left() {
    clearTimeout(this.#timer);
    this.#late = false;
    const rondo = this.#rondo;
    if (rondo?.user?.guest === false && rondo.status !== 'closed') rondo.restart(this.#name());
    say('You are logged out');
  }

  /** @param {boolean} inNow another tab logged in (or renewed), else out */
  #otherTab(inNow) {
    if (!inNow) {
      if (this.account.user) this.account.forget();
      return;
    }
    if (this.account.user) return;
    this.account
      .me()
      .then(() => this.#renew())
      .catch(() => {});
  }

  #draw() {
    const rondo = this.#rondo;
    if (!rondo) return;
    const { user } = this.account;
    const on = rondo.features.includes('accounts') || user !== null;
    $('account-open', HTMLElement).hidden = !on;
    $('extras-account', HTMLElement).hidden = !on;
    $('account-words', HTMLElement).textContent = user ? user.name : 'Log in';
    $('account-open', HTMLElement).setAttribute('aria-label', user ? `Your account: ${user.name}` : 'Log in or create an account');
    $('extras-account-words', HTMLElement).textContent = user ? 'Your account' : 'Create an account';
    const face = $('account-face', HTMLElement);
    face.hidden = !user;
    drawFace(face, user?.name ?? '', user?.avatar);
    $('name-field', HTMLElement).hidden = $('lobby-name-field', HTMLElement).hidden = user !== null;
    $('as-user', HTMLElement).hidden = user === null;
    $('as-user-name', HTMLElement).textContent = user?.name ?? '';
    document.documentElement.dataset.account = user ? 'in' : on ? 'out' : 'off';
    this.#changed();
  }
}
