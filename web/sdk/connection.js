import { Backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { RondoError, closeWord, mayReconnect } from './errors.js';
import { onNetworkType } from './network.js';
import { Timers } from './timers.js';

/** @typedef {import('./types.js').Welcome} Welcome */
/** @typedef {import('./types.js').Resumed} Resumed */
/** @typedef {import('./types.js').Push} Push */

/**
 * `connecting` (never was open), `open`, `reconnecting`, `closed` (for good).
 *
 * @typedef {'connecting' | 'open' | 'reconnecting' | 'closed'} Status
 */

/**
 * @typedef {object} StatusEvent
 * @property {Status} status
 * @property {string} reason why, as a word: an error code, or a word for the close code
 * @property {number} retryMs when the next attempt starts; 0 unless waiting for one
 */

/**
 * @typedef {object} ConnectionEvents
 * @property {StatusEvent} status
 * @property {{welcome: Welcome, reset: boolean}} welcome a new session; reset: an earlier one was lost
 * @property {Resumed} resumed
 * @property {Push} push in order, each once
 * @property {RondoError} error an error that answers no request
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {string} url of the WebSocket
 * @property {() => object} hello the `d` of hello, asked for at each new session
 * @property {() => Promise<unknown> | null} [prepare] what must be done before a socket is opened; null: nothing
 * @property {import('./storage.js').Store} session keeps the resume token across a reload
 * @property {typeof globalThis.WebSocket} [WebSocket]
 * @property {typeof globalThis.fetch} [fetch]
 * @property {() => number} [random]
 */

/**
 * @typedef {object} Pending a request without its reply
 * @property {any} message
 * @property {(d: any) => void} resolve
 * @property {(err: RondoError) => void} reject
 * @property {ReturnType<typeof setTimeout>} timer
 * @property {boolean} sent within a session; such a request is not moved into another one
 */

const subprotocol = 'rondo.v1';
const openTimeout = 10_000; // ms for a socket and its welcome
const steadyAfter = 60_000; // ms of connection after which back-off starts anew
const silenceSlack = 10_000; // ms beyond ping_ms
const probeTimeout = 3_000; // ms to answer a ping of ours
const ackEvery = 16; // pushes; the protocol wants one per 32
const ackDelay = 1_000; // ms

/**
 * One session with a Rondo server over as many sockets as it takes: hello or
 * resume, requests with replies, pushes in order and without doubles, acks,
 * heartbeat, reconnecting. It knows no feature.
 *
 * @extends {Emitter<ConnectionEvents>}
 */
export class Connection extends Emitter {
  #options;
  /** @type {Status} */
  #status = 'connecting';
  /** @type {WebSocket | null} */
  #socket = null;
  #backoff;

  // The session.
  #token = '';
  #ttl = 0;
  #fresh = false; // the token is of an earlier page
  #had = false; // there was a session before
  #seq = 0;
  #acked = 0;
  #gapAt = 0; // the position at which a gap made us resume

  // Requests. Numbers start anywhere, because the server remembers those that
  // this session used before a reload.
  #id;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #handshake = 0;

  // Timers and waits.
  #timers = new Timers();
  #pingMs = 25_000;
  #comeBackIn = -1; // ms, from the message `reconnect`; -1: not told
  #opened = false; // this socket was open
  #attempt = 0; // counts openings
  #explained = false; // this outage was looked into by /ws/check
  #reason = '';
  /** @type {(() => void)[]} */
  #listeners = [];

  /** @param {ConnectionOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#backoff = new Backoff({ random: options.random });
    this.#id = 1 + Math.floor((options.random ?? Math.random)() * 2 ** 30);
  }

  get status() {
    return this.#status;
  }

  /** Connects, with the session of the page before a reload if there is one. */
  start() {
    this.#recall();
    this.#watchPage();
    this.#open();
  }

  /**
   * Sends a request. It waits while there is no connection, and is sent again
   * under its number after a resume, so it is executed once.
   *
   * @param {string} t
   * @param {object} [d]
   * @param {{room?: string, to?: string, kind?: string, timeout?: number}} [options] timeout in ms, 15,000 by default
   * @returns {Promise<any>} the reply's `d`; rejects with a RondoError
   */
  request(t, d = {}, { room, to, kind, timeout = 15_000 } = {}) {
    if (this.#status === 'closed') return Promise.reject(new RondoError('closed', 'The connection is closed.'));
    const id = this.#nextId();
    /** @type {any} */
    const message = { t, id, d };
    if (room) message.room = room;
    if (to) message.to = to;
    if (kind) message.kind = kind;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        const away = this.#status !== 'open';
        reject(away ? new RondoError('offline', 'The server cannot be reached.') : new RondoError('timeout', 'The server did not answer in time.'));
      }, timeout);
      const pending = { message, resolve, reject, timer, sent: false };
      this.#pending.set(id, pending);
      if (this.#status === 'open') this.#sendPending(pending);
    });
  }

  /**
   * Sends without asking for a reply; what cannot be sent now is dropped.
   *
   * @param {string} t
   * @param {object} [d]
   * @param {{room?: string}} [options]
   * @returns {boolean} whether it was handed to the socket
   */
  send(t, d = {}, { room } = {}) {
    if (this.#status !== 'open') return false;
    return this.#write(room ? { t, room, d } : { t, d });
  }

  /**
   * Takes back requests that were not answered, for instance signals of a
   * call that is over.
   *
   * @param {(message: any) => boolean} which
   */
  forget(which) {
    for (const [id, p] of this.#pending) {
      if (!which(p.message)) continue;
      clearTimeout(p.timer);
      this.#pending.delete(id);
      p.reject(new RondoError('closed', 'No longer needed.'));
    }
  }

  /** Asks for a sign of life, and reconnects if none comes soon. */
  probe() {
    if (this.#status === 'reconnecting' || this.#status === 'connecting') {
      this.#hurry();
      return;
    }
    if (this.#status !== 'open') return;
    this.#write({ t: 'ping' });
    this.#timers.set('probe', probeTimeout, () => this.#drop('silent'));
  }

  /** Ends the session at once, for good. */
  close() {
    if (this.#status === 'closed') return;
    if (this.#status === 'open') this.#write({ t: 'bye' });
    this.#finish('bye');
    this.#socket?.close(1000, 'bye');
    this.#socket = null;
  }

  /** Ends the session, for good or not, and begins a new one: who we are has changed. */
  restart() {
    if (this.#status === 'open') this.#write({ t: 'bye' });
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000, 'bye');
    this.#token = '';
    this.#options.session.remove(this.#storeKey());
    this.#timers.clearAll();
    this.#backoff.reset();
    if (this.#status === 'closed') this.#watchPage();
    this.#reason = 'restart';
    this.#setStatus(this.#had ? 'reconnecting' : 'connecting');
    this.#rejectAll((p) => p.sent, new RondoError('session_lost', 'The session was ended.'));
    this.#open();
  }

  // ---- the page ----

  #storeKey() {
    return `rondo.resume ${this.#options.url}`;
  }

  /** Takes the token that the page left behind when it was reloaded. */
  #recall() {
    const text = this.#options.session.get(this.#storeKey());
    this.#options.session.remove(this.#storeKey());
    if (!text) return;
    try {
      const kept = JSON.parse(text);
      if (typeof kept.token === 'string' && Date.now() - kept.at < kept.ttl) {
        this.#token = kept.token;
        this.#fresh = true;
        this.#had = true;
      }
    } catch {
      // not ours
    }
  }

  /**
   * Keeps the token only while the page is hidden or gone: a duplicated tab
   * copies sessionStorage, and must not take this tab's session.
   */
  #keep() {
    if (!this.#token || this.#status === 'closed') return;
    this.#options.session.set(this.#storeKey(), JSON.stringify({ token: this.#token, ttl: this.#ttl, at: Date.now() }));
  }

  #watchPage() {
    const doc = /** @type {Document | undefined} */ (globalThis.document);
    const seen = () => {
      this.#options.session.remove(this.#storeKey());
      this.probe();
    };
    this.#listen(globalThis, 'pagehide', () => this.#keep());
    this.#listen(globalThis, 'pageshow', (e) => {
      if (/** @type {PageTransitionEvent} */ (e).persisted) seen();
    });
    this.#listen(globalThis, 'offline', () => this.#drop('offline'));
    this.#listen(globalThis, 'online', () => this.#networkBack());
    this.#listeners.push(onNetworkType(() => this.probe()));
    if (doc) this.#listen(doc, 'visibilitychange', () => (doc.hidden ? this.#keep() : seen()));
  }

  /**
   * @param {any} target
   * @param {string} type
   * @param {(e: Event) => void} fn
   */
  #listen(target, type, fn) {
    if (typeof target?.addEventListener !== 'function') return;
    target.addEventListener(type, fn);
    this.#listeners.push(() => target.removeEventListener(type, fn));
  }

  // ---- the socket ----

  #open() {
    this.#opened = false;
    this.#comeBackIn = -1;
    const attempt = ++this.#attempt;
    const ready = this.#options.prepare?.();
    if (!ready) {
      this.#dial();
      return;
    }
    const go = () => {
      if (attempt === this.#attempt && this.#status !== 'closed') this.#dial();
    };
    ready.then(go, go); // what could not be prepared the server will say
  }

  #dial() {
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    const socket = new Socket(this.#options.url, subprotocol);
    this.#socket = socket;
    socket.onopen = () => {
      if (socket !== this.#socket) return;
      this.#opened = true;
      this.#greet();
    };
    socket.onmessage = (e) => {
      if (socket === this.#socket) this.#received(e.data);
    };
    socket.onclose = (e) => {
      if (socket === this.#socket) this.#lost(e.code, e.reason);
    };
    this.#timers.set('open', openTimeout, () => this.#drop('timeout'));
  }

  #greet() {
    this.#handshake = this.#nextId();
    if (this.#token) {
      this.#write({ t: 'resume', id: this.#handshake, d: { token: this.#token, seq: this.#seq, fresh: this.#fresh } });
      return;
    }
    this.#write({ t: 'hello', id: this.#handshake, d: this.#options.hello() });
  }

  /**
   * Gives the socket up from this side.
   * @param {string} reason
   */
  #drop(reason) {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    try {
      socket.close();
    } catch {
      // was never open
    }
    this.#lost(1006, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #lost(code, reason) {
    this.#socket = null;
    this.#timers.clear('open', 'silence', 'probe', 'steady', 'ack', 'drain');
    if (this.#status === 'closed') return;
    if (!mayReconnect(code)) {
      this.#finish(closeWord(code));
      return;
    }
    const retry = code === 4013 ? Number(/retry=(\d+)/.exec(reason)?.[1] ?? 1000) : 0;
    this.#reason = this.#opened ? reason || 'lost' : 'unreachable';
    if (!this.#opened && !this.#explained) {
      this.#explained = true;
      void this.#explain();
      return;
    }
    this.#retry(retry);
  }

  /** Asks why the server refused the upgrade; a browser tells scripts nothing. */
  async #explain() {
    let retry = 0;
    this.#setStatus(this.#had ? 'reconnecting' : 'connecting');
    try {
      const check = this.#options.url.replace(/^ws/, 'http').replace(/\/?$/, '/check');
      const ask = this.#options.fetch ?? globalThis.fetch;
      const answer = await ask(check, { signal: AbortSignal.timeout(5000), credentials: 'same-origin' });
      if (!answer.ok) {
        const problem = await answer.json().catch(() => ({}));
        retry = 1000 * Number(answer.headers.get('Retry-After') ?? 0) || 0;
        if (typeof problem.code === 'string') this.#reason = problem.code;
        if (problem.code === 'origin') {
          this.#finish('origin');
          return;
        }
      }
    } catch {
      // not reachable by HTTP either
    }
    if (this.#status !== 'closed' && !this.#socket) this.#retry(retry);
  }

  /** @param {number} least ms to wait at least */
  #retry(least) {
    const drawn = this.#backoff.next();
    const delay = this.#comeBackIn >= 0 ? this.#comeBackIn : Math.max(least, drawn);
    this.#timers.set('retry', delay, () => this.#open());
    this.#setStatus(this.#had ? 'reconnecting' : 'connecting', Math.max(1, delay));
  }

  /** Tries again now if it is only waiting. */
  #hurry() {
    if (!this.#timers.has('retry')) return;
    this.#timers.clear('retry');
    this.#open();
  }

  /** There is a network again: what was tried on the one before counts for nothing. */
  #networkBack() {
    this.#backoff.reset();
    if (this.#status === 'open') {
      this.probe();
      return;
    }
    const stale = this.#socket; // its packets carry the address that we had
    this.#socket = null;
    stale?.close();
    this.#timers.clear('retry');
    this.#open();
  }

  /** @param {string} reason */
  #finish(reason) {
    this.#reason = reason;
    this.#token = '';
    this.#options.session.remove(this.#storeKey());
    this.#timers.clearAll();
    for (const stop of this.#listeners.splice(0)) stop();
    this.#setStatus('closed');
    this.#rejectAll(() => true, new RondoError('closed', 'The connection is closed.'));
  }

  /**
   * @param {Status} status
   * @param {number} [retryMs]
   */
  #setStatus(status, retryMs = 0) {
    this.#status = status;
    this.emit('status', { status, reason: status === 'open' ? '' : this.#reason, retryMs });
  }

  // ---- messages in ----

  /** @param {unknown} data */
  #received(data) {
    if (typeof data !== 'string') return;
    this.#timers.clear('probe');
    this.#listenForSilence();
    /** @type {any} */
    let m;
    try {
      m = JSON.parse(data);
    } catch {
      return;
    }
    if (m.t === 'ping') this.#write({ t: 'pong' });
    else if (m.t === 'pong') return;
    else if (m.id !== undefined) this.#replied(m);
    else if (m.t === 'err') this.emit('error', toError(m.e));
    else if (m.t === 'reconnect') this.#drain(m.d?.after_ms);
    else this.#pushed(m);
  }

  /** @param {any} m */
  #replied(m) {
    if (m.id === this.#handshake) {
      this.#handshake = 0;
      this.#greeted(m);
      return;
    }
    const p = this.#pending.get(m.id);
    if (!p) return; // too late, or answered before
    this.#pending.delete(m.id);
    clearTimeout(p.timer);
    if (m.t === 'err') p.reject(toError(m.e));
    else p.resolve(m.d ?? {});
  }

  /** @param {any} m the reply to hello or resume */
  #greeted(m) {
    if (m.t === 'welcome') this.#welcomed(m.d);
    else if (m.t === 'resumed') this.#resumed(m.d);
    else if (m.t === 'err' && m.e?.code === 'resume_expired') {
      this.#token = '';
      this.#greet(); // hello, on the same socket
    } else {
      const err = toError(m.e);
      this.#drop(err.code);
      if (err.retryMs) this.#timers.set('retry', err.retryMs, () => this.#open());
    }
  }

  /** @param {Welcome} d */
  #welcomed(d) {
    const reset = this.#had;
    this.#had = true;
    this.#seq = this.#acked = this.#gapAt = 0;
    this.#established(d);
    this.#rejectAll((p) => p.sent, new RondoError('session_lost', 'The session was lost.'));
    this.emit('welcome', { welcome: d, reset });
    this.#setStatus('open');
    this.#flush();
  }

  /** @param {Resumed} d */
  #resumed(d) {
    if (d.state) this.#seq = this.#acked = d.seq;
    this.#established(d);
    this.#write({ t: 'ack', a: this.#seq }); // a first word: the new token has arrived
    this.#flush(); // before anything newer that a handler sends
    this.emit('resumed', d);
    this.#setStatus('open');
  }

  /** @param {Welcome | Resumed} d */
  #established(d) {
    this.#fresh = false;
    this.#explained = false;
    this.#token = d.resume.token;
    this.#ttl = d.resume.ttl_ms;
    this.#pingMs = d.ping_ms;
    this.#timers.clear('open');
    this.#listenForSilence();
    this.#timers.set('steady', steadyAfter, () => this.#backoff.reset());
    if (globalThis.document?.hidden) this.#keep();
    this.#status = 'open'; // told to others once the session is in place
  }

  /** @param {Push} m */
  #pushed(m) {
    if (m.seq !== undefined) {
      if (m.seq <= this.#seq) return; // had it
      if (m.seq !== this.#seq + 1 && this.#gapAt !== this.#seq + 1) {
        this.#gapAt = this.#seq + 1; // once per place; then take what comes
        this.#drop('gap');
        return;
      }
      this.#seq = m.seq;
      if (this.#seq - this.#acked >= ackEvery) this.#ack();
      else if (!this.#timers.has('ack')) this.#timers.set('ack', ackDelay, () => this.#ack());
    }
    this.emit('push', m);
  }

  #ack() {
    if (this.#seq > this.#acked) this.#write({ t: 'ack' });
  }

  /** @param {unknown} afterMs when to come back */
  #drain(afterMs) {
    this.#comeBackIn = typeof afterMs === 'number' && afterMs >= 0 ? afterMs : 0;
    // The server closes right after; if it does not, we do.
    this.#timers.set('drain', 3000, () => this.#drop('drain'));
  }

  #listenForSilence() {
    this.#timers.set('silence', this.#pingMs + silenceSlack, () => this.#drop('silent'));
  }

  // ---- messages out ----

  #nextId() {
    this.#id = this.#id >= 2 ** 32 - 1 ? 1 : this.#id + 1;
    return this.#id;
  }

  /** @param {any} message */
  #write(message) {
    const socket = this.#socket;
    if (!socket || socket.readyState !== 1) return false;
    if (this.#seq > this.#acked && this.#status === 'open') {
      message = { ...message, a: this.#seq };
      this.#acked = this.#seq;
      this.#timers.clear('ack');
    }
    socket.send(JSON.stringify(message));
    return true;
  }

  /** @param {Pending} p */
  #sendPending(p) {
    if (this.#write(p.message)) p.sent = true;
  }

  #flush() {
    for (const p of this.#pending.values()) this.#sendPending(p);
  }

  /**
   * @param {(p: Pending) => boolean} which
   * @param {RondoError} err
   */
  #rejectAll(which, err) {
    for (const [id, p] of this.#pending) {
      if (!which(p)) continue;
      clearTimeout(p.timer);
      this.#pending.delete(id);
      p.reject(err);
    }
  }
}

/**
 * @param {any} e the envelope's `e`
 * @returns {RondoError}
 */
function toError(e) {
  return new RondoError(e?.code ?? 'internal', e?.msg ?? 'Something went wrong.', e?.retry_ms ?? 0);
}
