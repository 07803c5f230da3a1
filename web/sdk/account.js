import { Emitter } from './emitter.js';
import { RondoError } from './errors.js';
import { createPasskey, showPasskey } from './passkey.js';
import { parse, toProblem } from './rest.js';
import { webStore } from './storage.js';

/**
 * The own account (docs/openapi.yaml, User).
 *
 * @typedef {object} AccountUser
 * @property {string} id
 * @property {string} email
 * @property {string} username
 * @property {string} name
 * @property {string} [avatar]
 * @property {string} [language] of mails
 * @property {string[]} languages
 * @property {string[]} interests
 * @property {string[]} roles
 * @property {boolean} totp a login needs a second factor
 * @property {number} created_at
 * @property {number} [last_login_at]
 */

/**
 * @typedef {object} Login
 * @property {AccountUser} user
 * @property {number} access_expires_at
 * @property {number} refresh_expires_at
 * @property {string} [ticket] for `Rondo.authenticate`, within 30 s
 */

/**
 * @typedef {object} Device
 * @property {string} id
 * @property {string} name
 * @property {string} user_agent
 * @property {string} address
 * @property {number} created_at
 * @property {number} last_seen_at
 * @property {boolean} current the one that asks
 */

/**
 * @typedef {object} Passkey
 * @property {string} id
 * @property {string} name
 * @property {boolean} backed_up kept by a service that has it on several devices
 * @property {number} created_at
 * @property {number} [last_used_at] absent: never
 */

/** @typedef {{expires_at: number}} Pending a code is on its way by mail */
/** @typedef {{id: string, service: string, created_at: number}} PushDevice a browser that is told of new messages; service: the host of its push service */
/** @typedef {{password: string, code?: string}} Confirm for steps that a stolen session must not take alone */

/**
 * @typedef {object} AccountOptions
 * @property {string} [url] of the server, default: the page's own; cookies reach it only from its own site
 * @property {import('./storage.js').Store} [store] shared by the tabs; it holds no secret
 * @property {typeof globalThis.fetch} [fetch]
 * @property {Pick<LockManager, 'request'>} [locks] default: the browser's
 * @property {import('./passkey.js').Credentials} [credentials] default: the browser's
 * @property {() => number} [now]
 */

/**
 * @typedef {object} AccountEvents
 * @property {AccountUser | null} user logged in, changed, or logged out
 */

const mark = 'rondo.account'; // {at, until}: when the tokens were renewed, and until when the access token holds
const timeout = 15_000; // ms for an answer

/**
 * An account on a Rondo server, over its REST interface. The tokens are
 * cookies that no script can read; what is kept here is when they end. Every
 * method rejects with a RondoError: `code` is the server's, or `offline`.
 *
 * @extends {Emitter<AccountEvents>}
 */
export class Account extends Emitter {
  /** Who is logged in; null: nobody, or not known yet. @type {AccountUser | null} */
  user = null;
  /** Settles when logging out, under way now, is done: the server ends the connection before it answers. @type {Promise<void> | null} */
  leaving = null;

  #base;
  #store;
  #fetch;
  #locks;
  #credentials;
  #now;
  #etag = '';

  /** @param {AccountOptions} [options] */
  constructor({ url = '', store, fetch, locks, credentials, now } = {}) {
    super();
    this.#base = `${url.replace(/\/$/, '')}/api/v1`;
    this.#store = store ?? webStore('localStorage');
    this.#fetch = fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => globalThis.fetch(input, init));
    this.#locks = locks ?? globalThis.navigator?.locks;
    this.#credentials = credentials ?? globalThis.navigator?.credentials;
    this.#now = now ?? Date.now;
  }

  /** Whether this browser was logged in when it was last heard of. */
  get known() {
    return this.#mark().at > 0;
  }

  /** Until when the access token holds, in Unix milliseconds; 0: nobody is logged in. */
  get until() {
    return this.#mark().until;
  }

  // ---- coming and going ----

  /**
   * @param {{email: string, username: string, password: string, name?: string, language?: string, guest?: string}} registration
   * @returns {Promise<Pending>}
   */
  register(registration) {
    return this.#ask('POST', '/auth/register', { body: registration, once: true });
  }

  /**
   * @param {string} email
   * @param {string} code of the mail
   * @param {string} [device] a name for this one
   * @returns {Promise<Login>}
   */
  async verify(email, code, device) {
    return this.#enter(await this.#ask('POST', '/auth/verify', { body: { email, code, device } }));
  }

  /** @param {string} email @returns {Promise<Pending>} */
  resend(email) {
    return this.#ask('POST', '/auth/resend', { body: { email }, once: true });
  }

  /**
   * @param {{login: string, password: string, code?: string, device?: string}} request `needs_totp`: again, with code
   * @returns {Promise<Login>}
   */
  async login(request) {
    return this.#enter(await this.#ask('POST', '/auth/login', { body: request }));
  }

  /**
   * Logs in by a passkey, with neither name nor password: the browser asks which
   * one. `cancelled`: people did not choose, or `signal` says so.
   *
   * With `fill` nothing is shown: passkeys are offered where a username is typed
   * (`autocomplete="username webauthn"`), for as long as it takes. See `passkeysFill`.
   *
   * @param {{fill?: boolean, signal?: AbortSignal, device?: string}} [options]
   * @returns {Promise<Login>}
   */
  async loginByPasskey({ fill = false, signal, device } = {}) {
    for (;;) {
      /** @type {import('./passkey.js').PasskeyStart} */
      const { state, public_key, expires_at } = await this.#ask('POST', '/auth/passkey/begin', { body: {} });
      const stop = new AbortController();
      const end = () => stop.abort();
      if (signal?.aborted) end();
      signal?.addEventListener('abort', end);
      const over = fill ? setTimeout(end, Math.max(1000, expires_at - this.#now() - 30_000)) : undefined;
      try {
        const credential = await showPasskey(this.#credentials, public_key, { fill, signal: stop.signal });
        return this.#enter(await this.#ask('POST', '/auth/passkey/finish', { body: { state, credential, device } }));
      } catch (err) {
        // Nobody has chosen for so long that the challenge is over: on with a new one.
        if (!stop.signal.aborted || signal?.aborted || !(err instanceof RondoError) || err.code !== 'cancelled') throw err;
      } finally {
        clearTimeout(over);
        signal?.removeEventListener('abort', end);
      }
    }
  }

  /** @param {{all?: boolean}} [options] all: on every device */
  logout({ all = false } = {}) {
    return this.#leave(all ? this.#own('POST', '/auth/logout', { body: { all } }) : this.#ask('POST', '/auth/logout', { body: {} }));
  }

  /** @param {string} email @returns {Promise<Pending>} */
  forgot(email) {
    return this.#ask('POST', '/auth/forgot', { body: { email }, once: true });
  }

  /**
   * Sets a new password; log in with it afterwards.
   * @param {{email: string, code: string, password: string}} request
   * @returns {Promise<void>}
   */
  reset(request) {
    return this.#ask('POST', '/auth/reset', { body: request });
  }

  /**
   * Renews the tokens, one tab at a time.
   *
   * @returns {Promise<Login>} with a ticket of its own for the open WebSocket
   */
  renew() {
    return this.#locked(() => this.#refresh());
  }

  /**
   * Renews the tokens if they are about to end.
   *
   * @param {number} [slack] ms that they must still hold
   * @returns {Promise<void> | null} null: there is nothing to wait for; it rejects with `unauthorized` when nobody is logged in any more
   */
  fresh(slack = 30_000) {
    const { at, until } = this.#mark();
    if (!at || until - slack > this.#now()) return null;
    return this.#renewed(at);
  }

  /**
   * Finds out who is logged in; asks nothing in a browser that never was.
   * @returns {Promise<AccountUser | null>}
   */
  async restore() {
    if (!this.known) return null;
    try {
      await this.fresh();
      return await this.me();
    } catch (err) {
      if (err instanceof RondoError && err.code === 'unauthorized') return null;
      throw err;
    }
  }

  /** Forgets who was logged in, here only: the server has ended it. */
  forget() {
    this.#store.remove(mark);
    this.#etag = '';
    this.#set(null);
  }

  /**
   * A partner's picture; it needs no account.
   * @param {string} name that the room told
   * @returns {Promise<string>} a data: URL; '': there is none
   */
  async picture(name) {
    return (await this.#ask('GET', `/pictures/${encodeURIComponent(name)}`)).picture;
  }

  // ---- the account ----

  /** @returns {Promise<AccountUser>} */
  async me() {
    return this.#set(await this.#own('GET', '/me'));
  }

  /**
   * @param {{name?: string, avatar?: string, language?: string, languages?: string[], interests?: string[]}} patch
   * @returns {Promise<AccountUser>} rejects with `changed` when it was changed elsewhere; `me` reads it again
   */
  async update(patch) {
    if (!this.#etag) await this.me();
    return this.#set(await this.#own('PATCH', '/me', { body: patch, headers: { 'If-Match': this.#etag } }));
  }

  /** @param {{current: string, code?: string, password: string}} change @returns {Promise<void>} */
  changePassword(change) {
    return this.#own('POST', '/auth/password', { body: change, once: true });
  }

  /** @returns {Promise<Device[]>} */
  async devices() {
    return (await this.#own('GET', '/me/devices')).devices;
  }

  /** @param {string} id @param {string} name @returns {Promise<Device>} */
  renameDevice(id, name) {
    return this.#own('PATCH', `/me/devices/${encodeURIComponent(id)}`, { body: { name } });
  }

  /** @param {string} id @returns {Promise<void>} */
  revokeDevice(id) {
    return this.#own('DELETE', `/me/devices/${encodeURIComponent(id)}`);
  }

  // ---- notifications ----

  /** @returns {Promise<string>} a browser's `applicationServerKey`; '': this server sends no notifications */
  async pushKey() {
    try {
      return (await this.#ask('GET', '/push')).key;
    } catch (err) {
      if (err instanceof RondoError && err.code === 'not_found') return '';
      throw err;
    }
  }

  /** @returns {Promise<PushDevice[]>} the browsers that are told of new messages, the oldest first */
  async pushDevices() {
    return (await this.#own('GET', '/me/push')).devices;
  }

  /**
   * Sends notifications to a browser for as long as this session lives.
   * @param {{endpoint: string, keys: {p256dh: string, auth: string}}} subscription of its PushManager
   * @returns {Promise<PushDevice>}
   */
  addPushDevice(subscription) {
    return this.#own('POST', '/me/push', { body: subscription });
  }

  /** @param {string} id the SHA-256 of the endpoint in base64url @returns {Promise<void>} */
  removePushDevice(id) {
    return this.#own('DELETE', `/me/push/${encodeURIComponent(id)}`);
  }

  /** @param {Confirm} confirm @returns {Promise<{secret: string, url: string}>} */
  enrolTotp(confirm) {
    return this.#own('POST', '/me/totp', { body: confirm });
  }

  /** @param {string} code @returns {Promise<string[]>} recovery codes, shown once */
  async confirmTotp(code) {
    const { recovery_codes } = await this.#own('POST', '/me/totp/confirm', { body: { code } });
    if (this.user) this.#set({ ...this.user, totp: true });
    return recovery_codes;
  }

  /** @param {Confirm} confirm */
  async disableTotp(confirm) {
    await this.#own('DELETE', '/me/totp', { body: confirm });
    if (this.user) this.#set({ ...this.user, totp: false });
  }

  /** @param {Confirm} confirm @returns {Promise<string[]>} */
  async newRecoveryCodes(confirm) {
    return (await this.#own('POST', '/me/recovery-codes', { body: confirm })).recovery_codes;
  }

  /** @returns {Promise<Passkey[]>} */
  async passkeys() {
    return (await this.#own('GET', '/me/passkeys')).passkeys;
  }

  /**
   * Has the browser make a passkey. `cancelled`: people did not want to; `already`: there is one on that device, or there
   * are ten.
   *
   * @param {Confirm} confirm
   * @param {string} [name] default: after browser and system
   * @returns {Promise<Passkey>}
   */
  async addPasskey(confirm, name) {
    const { state, public_key } = await this.#own('POST', '/me/passkey/begin', { body: confirm });
    const credential = await createPasskey(this.#credentials, public_key);
    return this.#own('POST', '/me/passkey/finish', { body: { state, credential, name } });
  }

  /** @param {string} id @param {string} name @returns {Promise<Passkey>} */
  renamePasskey(id, name) {
    return this.#own('PATCH', `/me/passkeys/${encodeURIComponent(id)}`, { body: { name } });
  }

  /** @param {string} id @returns {Promise<void>} */
  deletePasskey(id) {
    return this.#own('DELETE', `/me/passkeys/${encodeURIComponent(id)}`);
  }

  /** @returns {Promise<object>} everything that is stored about the account */
  export() {
    return this.#own('GET', '/me/export');
  }

  /** @param {Confirm} confirm */
  deactivate(confirm) {
    return this.#leave(this.#own('POST', '/me/deactivate', { body: confirm }));
  }

  /** @param {Confirm} confirm there is no way back */
  delete(confirm) {
    return this.#leave(this.#own('DELETE', '/me', { body: confirm }));
  }

  // ---- inside ----

  /**
   * @param {Promise<unknown>} work that ends the session
   * @returns {Promise<void>}
   */
  async #leave(work) {
    const done = work.then(() => this.forget());
    const settled = done.catch(() => {});
    this.leaving = settled;
    try {
      await done;
    } finally {
      if (this.leaving === settled) this.leaving = null;
    }
  }

  /**
   * A request of who is logged in: with tokens that are over it is asked once
   * more with new ones.
   *
   * @param {string} method
   * @param {string} path
   * @param {Ask} [ask]
   */
  async #own(method, path, ask) {
    const { at } = this.#mark();
    try {
      return await this.#ask(method, path, ask);
    } catch (err) {
      if (!(err instanceof RondoError) || err.code !== 'unauthorized') throw err;
      await this.#renewed(at);
      return this.#ask(method, path, ask);
    }
  }

  /**
   * Renews the tokens unless another tab has, since.
   * @param {number} at of the mark that was read before
   */
  #renewed(at) {
    return this.#locked(async () => {
      if (this.#mark().at === at) await this.#refresh();
    });
  }

  async #refresh() {
    try {
      return this.#enter(await this.#ask('POST', '/auth/refresh', { body: {} }));
    } catch (err) {
      if (err instanceof RondoError && err.code === 'unauthorized') this.forget();
      throw err;
    }
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  #locked(work) {
    return this.#locks ? /** @type {Promise<any>} */ (this.#locks.request(mark, work)) : work();
  }

  /**
   * @param {Login} login
   * @returns {Login}
   */
  #enter(login) {
    const at = Math.max(this.#now(), this.#mark().at + 1);
    this.#store.set(mark, JSON.stringify({ at, until: login.access_expires_at }));
    if (this.user?.id !== login.user.id) this.#etag = '';
    this.#set(login.user);
    return login;
  }

  /**
   * @template {AccountUser | null} U
   * @param {U} user
   * @returns {U}
   */
  #set(user) {
    const before = this.user;
    this.user = user;
    if (before || user) this.emit('user', user);
    return user;
  }

  /** @returns {{at: number, until: number}} */
  #mark() {
    try {
      const { at, until } = JSON.parse(this.#store.get(mark) ?? '{}');
      if (typeof at === 'number' && typeof until === 'number') return { at, until };
    } catch {
      // not ours
    }
    return { at: 0, until: 0 };
  }

  /**
   * @typedef {object} Ask
   * @property {object} [body]
   * @property {Record<string, string>} [headers]
   * @property {boolean} [once] may be sent a second time without being done twice
   */

  /**
   * @param {string} method
   * @param {string} path
   * @param {Ask} [ask]
   * @returns {Promise<any>}
   */
  async #ask(method, path, { body, headers = {}, once = false } = {}) {
    /** @type {RequestInit} */
    const init = { method, headers: { ...headers }, credentials: 'same-origin', cache: 'no-store', redirect: 'error' };
    const head = /** @type {Record<string, string>} */ (init.headers);
    if (body) {
      head['Content-Type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    if (once) head['Idempotency-Key'] = newKey();
    let response;
    try {
      response = await this.#send(path, init, once);
    } catch {
      throw new RondoError('offline', 'The server cannot be reached.');
    }
    const tag = response.headers.get('ETag');
    const text = response.status === 204 ? '' : await response.text().catch(() => '');
    if (!response.ok) throw toProblem(response, text);
    if (tag && path === '/me') this.#etag = tag;
    return text ? parse(text) : undefined;
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @param {boolean} again
   * @returns {Promise<Response>}
   */
  async #send(path, init, again) {
    const send = () => this.#fetch(this.#base + path, { ...init, signal: AbortSignal.timeout(timeout) });
    try {
      return await send();
    } catch (err) {
      if (!again) throw err;
      return send();
    }
  }
}

/** @returns {string} for one intent */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
