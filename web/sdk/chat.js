import { Emitter } from './emitter.js';
import { RondoError } from './errors.js';

/** @typedef {import('./types.js').ChatMessage} ChatMessage */
/** @typedef {import('./types.js').ChatPage} ChatPage */

/**
 * A message of ours that the server has not confirmed.
 *
 * @typedef {object} Draft
 * @property {string} cid
 * @property {string} text
 * @property {'sending' | 'failed' | 'sent'} state
 * @property {RondoError | null} error
 */

/**
 * @typedef {object} ChatEvents
 * @property {ChatMessage} message a message took its place in the room's order, each once, oldest first
 * @property {Draft} draft one of ours changed its state
 * @property {string[]} typing ids of the members who write now
 */

/** @typedef {(t: string, d: object, options?: {timeout?: number}) => Promise<any>} Ask */

const typingFor = 5000; // ms that a sign of typing counts
const typingEvery = 3000; // ms between our own signs
const healAgain = 1000; // ms until a gap is asked for again that could not be

/**
 * A room's text. Messages come in the room's one order: what is missing is asked
 * for before anything newer is shown. What the server has not either is gone.
 *
 * @extends {Emitter<ChatEvents>}
 */
export class Chat extends Emitter {
  /** Confirmed messages, oldest first. @type {ChatMessage[]} */
  messages = [];
  /** Ours that are not confirmed, in the order sent. @type {Map<string, Draft>} */
  drafts = new Map();
  /** Whether older messages can be asked for. */
  more = false;

  #ask;
  #tell;
  #you;
  #off = 0; // everything up to here was shown or lies before what we were given
  /** @type {Map<number, ChatMessage>} */
  #ahead = new Map(); // behind a gap
  #healing = false;
  #cids = 0;
  #prefix;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #typers = new Map();
  #saidTyping = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #quiet;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  #over = false;

  /**
   * @param {object} options
   * @param {Ask} options.ask sends a request into the room
   * @param {(t: string, d: object) => void} options.tell sends without reply
   * @param {() => string} options.you our member id
   * @param {ChatPage & {off?: number}} options.page what there is already
   * @param {() => number} [options.random]
   */
  constructor({ ask, tell, you, page, random = Math.random }) {
    super();
    this.#ask = ask;
    this.#tell = tell;
    this.#you = you;
    this.#prefix = Math.floor(random() * 2 ** 40).toString(36);
    this.#begin(page);
  }

  /**
   * Sends text. The draft turns into a message, or fails.
   *
   * @param {string} text
   * @returns {Promise<void>} rejects with a RondoError; `retry(cid)` tries again
   */
  async send(text) {
    const cid = `${this.#prefix}-${++this.#cids}`;
    /** @type {Draft} */
    const draft = { cid, text, state: 'sending', error: null };
    this.drafts.set(cid, draft);
    this.emit('draft', draft);
    this.setTyping(false);
    await this.#deliver(draft);
  }

  /**
   * Sends a failed draft again, as the same message.
   * @param {string} cid
   */
  async retry(cid) {
    const draft = this.drafts.get(cid);
    if (!draft || draft.state !== 'failed') return;
    draft.state = 'sending';
    draft.error = null;
    this.emit('draft', draft);
    await this.#deliver(draft);
  }

  /**
   * Loads older messages into the front of `messages`.
   *
   * @param {number} [limit] at most 100
   * @returns {Promise<ChatMessage[]>} the new ones, oldest first
   */
  async older(limit = 50) {
    const first = this.messages[0]?.off ?? this.#off + 1;
    if (first <= 1) return [];
    /** @type {ChatPage} */
    const page = await this.#ask('chat.history', { before: first, limit });
    const known = this.messages[0]?.off ?? Infinity;
    const fresh = (page.messages ?? []).filter((m) => m.off < known);
    this.messages.unshift(...fresh);
    this.more = page.more;
    return fresh;
  }

  /**
   * Tells the others that we write, or no longer. Call it at each key: it
   * sends as often as needed and stops by itself.
   * @param {boolean} on
   */
  setTyping(on) {
    clearTimeout(this.#quiet);
    const now = Date.now();
    if (!on) {
      if (this.#saidTyping) this.#tell('typing', { on: false });
      this.#saidTyping = 0;
      return;
    }
    if (now - this.#saidTyping > typingEvery) {
      this.#saidTyping = now;
      this.#tell('typing', { on: true });
    }
    this.#quiet = setTimeout(() => this.setTyping(false), typingFor - 500);
  }

  /** Asks for what was missed, for instance after a reconnect. */
  async heal() {
    if (this.#healing || this.#over) return;
    this.#healing = true;
    try {
      /** @type {number[]} */
      let waiting = [];
      for (let more = true; more; ) {
        waiting = [...this.#ahead.keys()];
        /** @type {ChatPage} */
        const page = await this.#ask('chat.history', { since: this.#off });
        const before = this.#off;
        for (const m of page.messages ?? []) this.#take(m, true);
        more = page.more && this.#off > before;
      }
      // What the answer does not hold of the time before we asked is gone for good.
      const upTo = Math.max(0, ...waiting);
      const held = [...this.#ahead.values()].filter((m) => m.off <= upTo);
      for (const m of held.sort((a, b) => a.off - b.off)) this.#take(m, true);
    } catch {
      // the next message or reconnect asks again, too
      if (this.#ahead.size > 0 && !this.#over) this.#retry = setTimeout(() => void this.heal(), healAgain);
    } finally {
      this.#healing = false;
      this.#drain();
    }
  }

  // ---- for Room ----

  /**
   * Takes the server's word for the newest messages, after our own were lost.
   * @param {ChatPage & {off?: number}} page
   */
  resync(page) {
    const messages = page.messages ?? [];
    if (messages.length > 0 && messages[0].off > this.#off + 1) void this.heal();
    else for (const m of messages) this.#take(m, false);
  }

  /** A pushed message. @param {ChatMessage} m */
  pushed(m) {
    this.#take(m, false);
    if (this.#ahead.size > 0) void this.heal();
  }

  /**
   * @param {string} from
   * @param {boolean} on
   */
  typed(from, on) {
    clearTimeout(this.#typers.get(from));
    const was = this.#typers.has(from);
    if (on) this.#typers.set(from, setTimeout(() => this.typed(from, false), typingFor));
    else this.#typers.delete(from);
    if (was !== on) this.emit('typing', [...this.#typers.keys()]);
  }

  /** The room is over. */
  end() {
    for (const m of [...this.#ahead.values()].sort((a, b) => a.off - b.off)) this.#take(m, true); // nobody fills a gap any more
    this.#over = true;
    clearTimeout(this.#quiet);
    clearTimeout(this.#retry);
    for (const t of this.#typers.values()) clearTimeout(t);
    this.#typers.clear();
    this.emit('typing', []);
  }

  // ---- inside ----

  /** @param {ChatPage & {off?: number}} page */
  #begin(page) {
    this.messages = [...(page.messages ?? [])];
    this.more = page.more;
    const newest = this.messages.at(-1)?.off ?? page.off ?? 0;
    this.#off = newest;
  }

  /**
   * @param {ChatMessage} m
   * @param {boolean} healed came as an answer, so what lies before it is gone for good
   */
  #take(m, healed) {
    if (m.off <= this.#off) return;
    if (m.off > this.#off + 1 && !healed) {
      this.#ahead.set(m.off, m);
      return;
    }
    this.#show(m);
    this.#drain();
  }

  #drain() {
    for (let m; (m = this.#ahead.get(this.#off + 1)); ) this.#show(m);
    for (const off of this.#ahead.keys()) if (off <= this.#off) this.#ahead.delete(off);
  }

  /** @param {ChatMessage} m */
  #show(m) {
    this.#off = m.off;
    this.#ahead.delete(m.off);
    this.messages.push(m);
    if (m.from === this.#you()) this.drafts.delete(m.cid);
    this.typed(m.from, false);
    this.emit('message', m);
  }

  /** @param {Draft} draft */
  async #deliver(draft) {
    for (let tries = 0; ; tries++) {
      try {
        await this.#ask('chat', { cid: draft.cid, text: draft.text });
        if (draft.state === 'sending' && this.drafts.has(draft.cid)) {
          draft.state = 'sent'; // its push is on the way
          this.emit('draft', draft);
        }
        return;
      } catch (err) {
        const e = err instanceof RondoError ? err : new RondoError('internal', String(err));
        if (e.code === 'rate_limited' && tries < 3) {
          await new Promise((done) => setTimeout(done, e.retryMs || 1000));
          continue;
        }
        if (!this.drafts.has(draft.cid)) return; // its push told that it arrived
        draft.state = 'failed';
        draft.error = e;
        this.emit('draft', draft);
        throw e;
      }
    }
  }
}
