import { Emitter } from './emitter.js';
import { RondoError } from './errors.js';

/** @typedef {import('./types.js').ConvEvent} ConvEvent */
/** @typedef {import('./types.js').ConvInfo} ConvInfo */
/** @typedef {import('./types.js').ConvMessage} ConvMessage */
/** @typedef {import('./types.js').ConvOpened} ConvOpened */
/** @typedef {import('./types.js').ConvPerson} ConvPerson */
/** @typedef {import('./types.js').ConvHistory} ConvHistory */
/** @typedef {import('./types.js').ConvSync} ConvSync */
/** @typedef {import('./types.js').ConvTranslation} ConvTranslation */

/**
 * A message of ours that has no place yet.
 *
 * @typedef {object} ConvDraft
 * @property {string} cid
 * @property {string} text
 * @property {number} [reply_to]
 * @property {boolean} [thread]
 * @property {import('./types.js').ConvFile[]} files
 * @property {number} at
 * @property {'sending' | 'failed'} state
 * @property {RondoError | null} error
 */

/**
 * @typedef {object} ConversationEvents
 * @property {{reset: boolean}} messages `messages` changed; reset: it is another part of the conversation
 * @property {null} drafts
 * @property {null} people who is in it, and how far each one has read
 * @property {ConvInfo} info
 * @property {null} pins
 * @property {null} unread
 * @property {null} presence
 * @property {{id: string, name: string}[]} typing
 * @property {null} translations
 * @property {null} open it is there, or there again
 * @property {RondoError} failed it cannot be opened
 * @property {null} removed we are no member any more, or it is gone
 */

/**
 * What a conversation needs of the client around it.
 *
 * @typedef {object} ConversationPort
 * @property {(t: string, d: object, options?: {room?: string, timeout?: number}) => Promise<any>} request
 * @property {(t: string, d: object, options?: {room?: string}) => boolean} send without reply
 * @property {() => string} you our user id
 * @property {() => number} [random]
 */

const page = 50; // messages asked for at once
const longPage = 100; // that on the way through the past
const most = 400; // messages kept at hand while people scroll
const mostAhead = 500; // events kept behind a gap
const healAgain = 1000; // ms until a gap is asked for again that could not be
const healSoon = 200; // ms until it is asked for again that was not filled
const vainMost = 5; // times it is; then what is missing is gone for good
const markEvery = 700; // ms between marks
const typingFor = 5000; // ms that a sign of typing counts
const typingEvery = 3000; // ms between our own signs
const patience = 10_000; // ms of "too fast" that are waited out
const translateBatch = 50;
const translateTries = 20; // in vain
const translatePatience = 10 * 60_000; // a quota that lasts longer is used up for today

/**
 * One conversation as its reader sees it: a part of its messages without holes,
 * its people, and what we are about to send. Changes are applied one after
 * another by their number, each message as of its highest `rev`; a hole is asked
 * for, also after a reconnect.
 *
 * @extends {Emitter<ConversationEvents>}
 */
export class ConversationView extends Emitter {
  /** @type {ConvInfo | null} */
  info = null;
  /** Null of who has not joined. @type {ConvPerson | null} */
  me = null;
  /** Of a topic: owner and moderators, and who was seen since. @type {Map<string, ConvPerson>} */
  people = new Map();
  /** Oldest first, without holes. @type {ConvMessage[]} */
  messages = [];
  /** There are older ones than those in `messages`. */
  older = false;
  /** There are newer ones: `messages` is a part of the past. */
  newer = false;
  /** Ours on their way, in the order sent. @type {Map<string, ConvDraft>} */
  drafts = new Map();
  /** @type {number[]} */
  pins = [];
  unread = 0;
  online = 0;
  /** @type {Set<string>} */
  here = new Set();
  /** In the language of `readIn`, by seq. @type {Map<number, ConvTranslation>} */
  translations = new Map();
  /** @type {'closed' | 'opening' | 'open' | 'failed' | 'removed'} */
  state = 'closed';
  /** The last message that was read when it was opened: the next one is the first unread. */
  readBefore = 0;

  #port;
  #seq = 0; // every change up to here is applied
  #loaded = false;
  #turn = 0; // counts openings
  /** @type {Map<number, ConvEvent>} */
  #ahead = new Map(); // behind a gap, or before we were opened
  #healing = false;
  #vain = 0; // times a gap was asked for and not filled
  #loading = 0; // pages under way
  /** @type {Map<number, ConvMessage>} */
  #late = new Map(); // changes of messages that a page under way may hold as they were before
  #cids = 0;
  #prefix;
  /** @type {Map<string, {name: string, timer: ReturnType<typeof setTimeout>}>} */
  #typers = new Map();
  #saidTyping = 0;
  #seen = 0;
  #delivered = 0;
  #toldDelivered = 0;
  #toldRead = 0;
  #language = '';
  /** @type {Map<number, number>} */
  #tried = new Map(); // seq → rev that was given to the translator
  #translating = false;
  #untranslated = 0; // times in a row that nothing came
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();

  /**
   * @param {string} id
   * @param {ConversationPort} port
   */
  constructor(id, port) {
    super();
    this.id = id;
    this.#port = port;
    this.#prefix = Math.floor((port.random ?? Math.random)() * 2 ** 40).toString(36) + Date.now().toString(36);
  }

  // ---- opening ----

  /** Reads it and follows it, until `close`. */
  open() {
    if (this.state === 'open' || this.state === 'opening') return Promise.resolve();
    this.state = 'opening';
    return this.#connect();
  }

  /** Follows it no more. What is on its way is still sent. */
  close() {
    if (this.state === 'closed') return;
    this.#flushMarks();
    this.#turn++;
    if (this.state === 'open') this.#tell('conv.close', {});
    this.state = 'closed';
    for (const name of ['typing', 'heal']) this.#cancel(name);
    for (const { timer } of this.#typers.values()) clearTimeout(timer);
    this.#typers.clear();
    this.emit('typing', []);
  }

  /** The session is there again: reads what was missed. */
  reconnected() {
    if (this.state === 'open' || this.state === 'opening') void this.#connect();
    for (const d of this.drafts.values()) if (d.state === 'failed' && transient(d.error)) void this.retry(d.cid).catch(() => {});
  }

  async #connect() {
    const turn = ++this.#turn;
    try {
      /** @type {ConvOpened} */
      const o = await this.#ask('conv.open', this.#loaded ? { since: this.#seq, limit: page } : { limit: page });
      if (turn !== this.#turn) return;
      this.#opened(o);
    } catch (err) {
      if (turn !== this.#turn) return;
      const e = toRondo(err);
      if (transient(e) || e.code === 'rate_limited') {
        // `reconnected` comes when there is a connection; this is for a server that is busy
        this.#later('heal', e.retryMs || 2000, () => void this.#connect());
        return;
      }
      this.state = 'failed';
      this.emit('failed', e);
    }
  }

  /** @param {ConvOpened} o */
  #opened(o) {
    if (o.sync?.reset) {
      this.#loaded = false;
      void this.#connect();
      return;
    }
    const first = this.me === null && this.info === null;
    this.state = 'open';
    this.info = o.conversation;
    this.me = o.me ?? null;
    this.people = new Map((o.people ?? []).map((p) => [p.id, p]));
    if (this.me) this.people.set(this.me.id, this.me);
    this.pins = o.pins ?? [];
    this.unread = o.unread;
    this.online = o.online;
    this.here = new Set(o.here ?? []);
    if (first) this.readBefore = this.me?.read ?? 0;
    if (o.history) this.#replace(o.history);
    if (o.sync) {
      this.#synced(o.sync);
      if (o.sync.more) void this.heal();
    }
    this.emit('info', this.info);
    this.emit('people', null);
    this.emit('pins', null);
    this.emit('unread', null);
    this.emit('presence', null);
    this.emit('open', null);
    this.#gotUpTo(this.messages.at(-1)?.seq ?? 0);
  }

  /** @param {ConvHistory} h the messages from now on */
  #replace(h) {
    this.messages = [];
    this.#take(h.messages ?? []);
    this.older = h.older;
    this.newer = h.newer;
    this.#takeLate(this.messages.at(-1)?.seq ?? 0);
    if (!this.#loaded) this.#seq = h.seq;
    this.#loaded = true;
    this.#drain();
    this.#forgetDrafts();
    this.#shown(true);
    return true;
  }

  // ---- changes ----

  /** A pushed change. @param {ConvEvent} e */
  pushed(e) {
    if (this.state === 'closed') return;
    const follows = e.seq === this.#seq + 1 || (e.after && e.after <= this.#seq);
    if (!this.#loaded || (e.seq > this.#seq && !follows)) {
      if (this.#ahead.size >= mostAhead) this.#ahead.clear(); // the sync brings them
      this.#ahead.set(e.seq, e);
      if (this.#loaded) void this.heal();
      return;
    }
    if (e.seq <= this.#seq) return;
    this.#apply(e);
    this.#seq = e.seq;
    this.#drain();
    this.#changed();
  }

  #drain() {
    for (let e; (e = this.#ahead.get(this.#seq + 1)); ) {
      this.#apply(e);
      this.#seq = e.seq;
    }
    for (const seq of this.#ahead.keys()) if (seq <= this.#seq) this.#ahead.delete(seq);
  }

  /** Asks for what was missed. */
  async heal() {
    if (this.#healing || !this.#loaded || this.state !== 'open') return;
    this.#healing = true;
    const turn = this.#turn;
    const before = this.#seq;
    try {
      for (let more = true; more; ) {
        /** @type {ConvSync} */
        const s = await this.#patiently('conv.sync', { since: this.#seq });
        if (turn !== this.#turn) return;
        if (s.reset) {
          this.#loaded = false;
          void this.#connect();
          return;
        }
        const from = this.#seq;
        this.#synced(s);
        more = s.more === true && this.#seq > from;
      }
      this.#stillAhead(before);
    } catch {
      this.#later('heal', healAgain, () => void this.heal());
    } finally {
      this.#healing = false;
    }
  }

  /**
   * Some still wait: for what came while we asked, or for what nobody has.
   * @param {number} before where we were
   */
  #stillAhead(before) {
    if (this.#ahead.size === 0 || this.#seq > before) this.#vain = 0;
    if (this.#ahead.size === 0) return;
    if (++this.#vain > vainMost) {
      this.#vain = 0;
      this.#seq = Math.min(...this.#ahead.keys()) - 1;
      this.#drain();
      this.#changed();
    }
    this.#later('heal', healSoon * this.#vain, () => void this.heal());
  }

  /** @param {ConvSync} s */
  #synced(s) {
    if (s.conversation) this.#setInfo(s.conversation);
    for (const p of s.people ?? []) this.#setPerson(p);
    for (const m of s.messages ?? []) this.#message(m);
    this.#seq = Math.max(this.#seq, s.seq);
    this.#drain();
    this.#changed();
  }

  /** @param {ConvEvent} e */
  #apply(e) {
    if (e.message) {
      if (e.message.seq === e.seq) this.#arrived(e.message);
      this.#message(e.message);
    }
    if (e.person) this.#setPerson(e.person);
    if (e.conversation) this.#setInfo(e.conversation);
  }

  /** A message that is new, not a change of one. @param {ConvMessage} m */
  #arrived(m) {
    this.typed({ on: false, user: m.from });
    if (m.from !== this.#port.you() && m.seq > Math.max(this.#seen, this.me?.read ?? 0)) {
      this.unread = Math.min(1000, this.unread + 1);
      this.emit('unread', null);
    }
    if (this.info) {
      this.info.active_at = m.at;
      this.info.seq = Math.max(this.info.seq, m.seq);
    }
    this.#gotUpTo(m.seq);
  }

  /**
   * A message as it is now, if it belongs into the part at hand.
   * @param {ConvMessage} m
   */
  #message(m) {
    if (m.from === this.#port.you() && this.drafts.delete(m.cid)) this.emit('drafts', null);
    this.#pinned(m);
    if (this.#loading > 0) keepNewest(this.#late, m);
    const first = this.messages[0]?.seq ?? 0;
    const last = this.messages.at(-1)?.seq ?? 0;
    if (this.newer && m.seq > last) return;
    if (this.older && m.seq < first) return;
    this.#put(m);
  }

  /** @param {ConvMessage} m */
  #pinned(m) {
    const there = this.pins.includes(m.seq);
    const now = m.pinned === true && !m.deleted_at;
    if (there === now) return;
    this.pins = now ? [m.seq, ...this.pins] : this.pins.filter((seq) => seq !== m.seq);
    this.emit('pins', null);
  }

  /** @param {ConvMessage} m */
  #put(m) {
    const i = place(this.messages, m.seq);
    const known = this.messages[i];
    if (known?.seq !== m.seq) this.messages.splice(i, 0, m);
    else if (m.rev > known.rev) this.messages[i] = m;
  }

  /** @param {ConvMessage[]} list of a page */
  #take(list) {
    for (const m of list) {
      const late = this.#late.get(m.seq);
      this.#put(late && late.rev > m.rev ? late : m);
    }
  }

  /** New messages that came while the page of the newest was under way. @param {number} last of the page */
  #takeLate(last) {
    if (!this.newer) for (const m of this.#late.values()) if (m.seq > last) this.#put(m);
  }

  /** @param {boolean} reset */
  #shown(reset) {
    this.emit('messages', { reset });
    void this.#translateNew();
  }

  #changed() {
    if (!this.newer && this.messages.length > 2 * most) {
      this.messages.splice(0, this.messages.length - most);
      this.older = true;
    }
    const oldest = this.info?.oldest ?? 0;
    if (oldest && this.messages[0]?.seq < oldest) {
      this.messages = this.messages.filter((m) => m.seq >= oldest);
      this.older = false;
    }
    this.#shown(false);
  }

  /** @param {ConvInfo} c */
  #setInfo(c) {
    if (this.info && c.rev < this.info.rev) return;
    this.info = c;
    this.emit('info', c);
    if (c.deleted) this.removed();
  }

  /** @param {ConvPerson} p */
  #setPerson(p) {
    const known = this.people.get(p.id);
    if (known && p.rev < known.rev) return;
    const now = { ...p, read: Math.max(p.read, known?.read ?? 0), delivered: Math.max(p.delivered, known?.delivered ?? 0) };
    this.people.set(p.id, now);
    if (p.id === this.#port.you()) this.me = now;
    this.emit('people', null);
  }

  /** We are no member any more, or it is gone. */
  removed() {
    if (this.state === 'removed') return;
    this.state = 'removed';
    this.#turn++;
    this.emit('removed', null);
  }

  // ---- history ----

  /** @returns {Promise<boolean>} whether there was more */
  async loadOlder() {
    const first = this.messages[0]?.seq;
    if (!this.older || !first) return false;
    return this.#page({ before: first, limit: longPage }, (h) => {
      if (this.messages[0]?.seq !== first) return false;
      this.#take(h.messages ?? []);
      this.older = h.older;
      if (this.messages.length > most) {
        this.messages.length = most;
        this.newer = true;
      }
      this.#shown(false);
      return true;
    });
  }

  /** @returns {Promise<boolean>} whether there was more */
  async loadNewer() {
    const last = this.messages.at(-1)?.seq;
    if (!this.newer || !last) return false;
    return this.#page({ after: last, limit: longPage }, (h) => {
      if (this.messages.at(-1)?.seq !== last) return false;
      this.#take(h.messages ?? []);
      this.newer = h.newer;
      this.#takeLate(last);
      if (this.messages.length > most) {
        this.messages.splice(0, this.messages.length - most);
        this.older = true;
      }
      this.#shown(false);
      return true;
    });
  }

  /**
   * Goes to a place in the past, where `messages` begins anew.
   * @param {number} seq
   * @returns {Promise<boolean>} whether that message is there
   */
  async around(seq) {
    if (!this.has(seq)) await this.#page({ around: seq }, (h) => this.#replace(h));
    return this.has(seq);
  }

  /** Goes to the newest messages. */
  async latest() {
    if (!this.newer) return;
    await this.#page({}, (h) => this.#replace(h));
  }

  /** @param {number} seq */
  has(seq) {
    return this.messages[place(this.messages, seq)]?.seq === seq;
  }

  /** @param {number} seq @returns {ConvMessage | undefined} */
  get(seq) {
    const m = this.messages[place(this.messages, seq)];
    return m?.seq === seq ? m : undefined;
  }

  /**
   * Reads messages without showing them.
   * @param {{before?: number, after?: number, around?: number, thread?: number, author?: string, pinned?: boolean, limit?: number}} query
   * @returns {Promise<ConvHistory>}
   */
  history(query) {
    return this.#patiently('conv.history', { limit: page, ...query });
  }

  /**
   * @param {object} query
   * @param {(h: ConvHistory) => boolean} use
   * @returns {Promise<boolean>} what use says; false: it is another conversation's turn now
   */
  async #page(query, use) {
    const turn = this.#turn;
    this.#loading++;
    try {
      const h = await this.history(query);
      return turn === this.#turn && use(h);
    } finally {
      if (--this.#loading === 0) this.#late.clear();
    }
  }

  // ---- writing ----

  /**
   * Sends a message. The draft turns into it, or fails.
   *
   * @param {string} text
   * @param {{replyTo?: number, thread?: boolean, files?: import('./types.js').ConvFile[]}} [options]
   * @returns {Promise<ConvMessage | undefined>} rejects with a RondoError; `retry(cid)` tries again
   */
  send(text, { replyTo, thread, files = [] } = {}) {
    const cid = `${this.#prefix}-${++this.#cids}`;
    /** @type {ConvDraft} */
    const draft = { cid, text, files, at: Date.now(), state: 'sending', error: null };
    if (replyTo) draft.reply_to = replyTo;
    if (thread) draft.thread = true;
    this.drafts.set(cid, draft);
    this.emit('drafts', null);
    this.#saidTyping = 0; // the message says so
    this.#cancel('typing');
    return this.#deliver(draft);
  }

  /** Sends a failed draft again, as the same message. @param {string} cid */
  async retry(cid) {
    const draft = this.drafts.get(cid);
    if (draft?.state !== 'failed') return;
    draft.state = 'sending';
    draft.error = null;
    this.emit('drafts', null);
    await this.#deliver(draft);
  }

  /** Gives a failed draft up. @param {string} cid */
  discard(cid) {
    if (this.drafts.get(cid)?.state !== 'failed') return;
    this.drafts.delete(cid);
    this.emit('drafts', null);
  }

  /** @param {ConvDraft} draft @returns {Promise<ConvMessage | undefined>} */
  async #deliver(draft) {
    const { cid, text, reply_to, thread, files } = draft;
    const d = { cid, text, ...(reply_to && { reply_to }), ...(thread && { thread }), ...(files.length && { files: files.map((f) => f.id) }) };
    for (let tries = 0; ; tries++) {
      try {
        const { message } = await this.#ask('conv.send', d);
        this.#message(message);
        this.#changed();
        return message;
      } catch (err) {
        const e = toRondo(err);
        if (e.code === 'session_lost' && tries < 5) continue; // waits for the new session; the cid keeps it single
        if (e.code === 'rate_limited' && tries < 3 && e.retryMs <= patience) {
          await new Promise((done) => setTimeout(done, e.retryMs || 1000));
          continue;
        }
        if (!this.drafts.has(cid)) return undefined; // its push told that it arrived
        draft.state = 'failed';
        draft.error = e;
        this.emit('drafts', null);
        throw e;
      }
    }
  }

  /** Those whose message is there. */
  #forgetDrafts() {
    const you = this.#port.you();
    let gone = false;
    for (const m of this.messages) if (m.from === you && this.drafts.delete(m.cid)) gone = true;
    if (gone) this.emit('drafts', null);
  }

  /** @param {number} seq @param {string} text */
  edit(seq, text) {
    return this.#change('conv.edit', { seq, text });
  }

  /** @param {number} seq */
  delete(seq) {
    return this.#change('conv.delete', { seq });
  }

  /** @param {number} seq @param {string} emoji @param {boolean} on */
  react(seq, emoji, on) {
    return this.#change('conv.react', { seq, emoji, on });
  }

  /** @param {number} seq @param {boolean} on */
  pin(seq, on) {
    return this.#change('conv.pin', { seq, on });
  }

  /** @param {string} t @param {object} d @returns {Promise<ConvMessage>} */
  async #change(t, d) {
    const { message } = await this.#patiently(t, d);
    this.#message(message);
    this.#changed();
    return message;
  }

  /**
   * Tells the others that we write. Call it at each key.
   * @param {boolean} on
   */
  setTyping(on) {
    if (this.state !== 'open') return;
    this.#cancel('typing');
    if (!on) {
      if (this.#saidTyping) this.#tell('conv.typing', { on: false });
      this.#saidTyping = 0;
      return;
    }
    const now = Date.now();
    if (now - this.#saidTyping > typingEvery) {
      this.#saidTyping = now;
      this.#tell('conv.typing', { on: true });
    }
    this.#later('typing', typingFor - 500, () => this.setTyping(false));
  }

  /** A pushed sign of typing. @param {{on: boolean, user?: string, name?: string}} d */
  typed({ on, user = '', name = '' }) {
    if (user === this.#port.you()) return;
    const known = this.#typers.get(user);
    if (!known && !on) return;
    clearTimeout(known?.timer);
    if (on) this.#typers.set(user, { name: name || known?.name || this.people.get(user)?.name || '', timer: setTimeout(() => this.typed({ on: false, user }), typingFor) });
    else this.#typers.delete(user);
    if (!known || !on) this.emit('typing', [...this.#typers].map(([id, t]) => ({ id, name: t.name })));
  }

  // ---- marks, presence ----

  /** The reader has seen everything up to here. @param {number} seq */
  seen(seq) {
    const read = Math.max(this.#seen, this.me?.read ?? 0);
    if (!this.me || seq <= read) return;
    this.#seen = seq;
    const you = this.#port.you();
    const first = this.messages[0]?.seq ?? 0;
    const inSight = read + 1 >= first || !this.older;
    const passed = this.messages.filter((m) => m.seq > read && m.seq <= seq && m.from !== you).length;
    this.unread = inSight ? Math.max(0, this.unread - passed) : this.unread;
    if (!this.newer && seq >= (this.messages.at(-1)?.seq ?? 0)) this.unread = 0;
    this.emit('unread', null);
    this.#later('mark', markEvery, () => this.#flushMarks(), false);
  }

  /** The device has everything up to here. @param {number} seq */
  #gotUpTo(seq) {
    if (!this.me || this.info?.kind === 'topic' || seq <= Math.max(this.#delivered, this.me.delivered)) return;
    this.#delivered = seq;
    this.#later('mark', this.#toldDelivered ? markEvery : 0, () => this.#flushMarks(), false);
  }

  #flushMarks() {
    this.#cancel('mark');
    const d = {};
    if (this.#seen > this.#toldRead) Object.assign(d, { read: (this.#toldRead = this.#seen) });
    if (this.#delivered > this.#toldDelivered) Object.assign(d, { delivered: (this.#toldDelivered = this.#delivered) });
    if (Object.keys(d).length === 0) return;
    this.#ask('conv.mark', d).then(
      (/** @type {any} */ marked) => this.marked({ user: this.#port.you(), ...marked }),
      (err) => {
        if (!transient(toRondo(err)) && toRondo(err).code !== 'rate_limited') return;
        this.#toldRead = this.#toldDelivered = 0;
        this.#later('mark', 3000, () => this.#flushMarks(), false);
      },
    );
  }

  /** Marks of somebody. @param {{user?: string, delivered: number, read: number, unread?: number}} d */
  marked({ user = '', delivered, read, unread }) {
    const p = this.people.get(user);
    if (p) {
      p.delivered = Math.max(p.delivered, delivered);
      p.read = Math.max(p.read, read);
      this.emit('people', null);
    }
    if (user !== this.#port.you()) return;
    if (this.me) {
      this.me.read = Math.max(this.me.read, read);
      this.me.delivered = Math.max(this.me.delivered, delivered);
    }
    if (read >= this.#seen) {
      this.unread = unread ?? 0;
      this.emit('unread', null);
    }
  }

  /** @param {{online: number, here: string[] | null}} d */
  present({ online, here }) {
    this.online = online;
    this.here = new Set(here ?? []);
    this.emit('presence', null);
  }

  /**
   * How far a message of ours got with the others.
   * @param {number} seq
   * @returns {'sent' | 'delivered' | 'read'}
   */
  receipt(seq) {
    const others = [...this.people.values()].filter((p) => p.id !== this.#port.you() && isMember(p));
    if (others.length === 0 || this.info?.kind === 'topic') return 'sent';
    if (others.every((p) => p.read >= seq)) return 'read';
    return others.every((p) => p.delivered >= seq || p.read >= seq) ? 'delivered' : 'sent';
  }

  // ---- translation ----

  /** The language that messages are read in; '' for as they were written. */
  get language() {
    return this.#language;
  }

  /** @param {string} language */
  readIn(language) {
    if (language === this.#language) return;
    this.#language = language;
    this.translations.clear();
    this.#tried.clear();
    this.#untranslated = 0;
    this.emit('translations', null);
    void this.#translateNew();
  }

  async #translateNew() {
    if (!this.#language || this.#translating || this.state !== 'open') return;
    this.#translating = true;
    const to = this.#language;
    /** @type {ConvMessage[]} */
    let batch = [];
    try {
      const you = this.#port.you();
      while (this.#language === to) {
        batch = this.messages.filter((m) => m.from !== you && m.text && this.#tried.get(m.seq) !== m.rev).slice(-translateBatch);
        if (batch.length === 0) break;
        for (const m of batch) this.#tried.set(m.seq, m.rev);
        const d = await this.#ask('conv.translate', { messages: batch.map((m) => m.seq), to }, 30_000);
        if (this.#language !== to) break;
        for (const t of d.texts ?? []) this.translations.set(t.seq, t);
        this.emit('translations', null);
        if (d.texts?.length) this.#untranslated = 0;
        const late = batch.filter((m) => !d.texts?.some((/** @type {ConvTranslation} */ t) => t.seq === m.seq));
        if (late.length > 0) {
          this.#translateAgain(late, 1000); // the translator goes on meanwhile
          break;
        }
      }
    } catch (err) {
      const { code, retryMs } = toRondo(err); // until then it is read as it was written
      if (this.#language === to && (code === 'unavailable' || code === 'rate_limited')) this.#translateAgain(batch, retryMs || 1000);
    } finally {
      this.#translating = false;
      if (this.#language !== to) void this.#translateNew();
    }
  }

  /**
   * @param {ConvMessage[]} list
   * @param {number} ms
   */
  #translateAgain(list, ms) {
    if (ms > translatePatience || ++this.#untranslated > translateTries) return;
    for (const m of list) this.#tried.delete(m.seq);
    this.#later('translate', ms, () => void this.#translateNew());
  }

  // ---- inside ----

  /** @param {string} t @param {object} d @param {number} [timeout] */
  #ask(t, d, timeout) {
    return this.#port.request(t, d, { room: this.id, ...(timeout && { timeout }) });
  }

  /**
   * A request that waits when the server says "too fast".
   * @param {string} t
   * @param {object} d
   */
  async #patiently(t, d) {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#ask(t, d);
      } catch (err) {
        const { code, retryMs } = toRondo(err);
        if (code !== 'rate_limited' || tries >= 3 || retryMs > patience) throw err;
        await new Promise((done) => setTimeout(done, retryMs || 1000));
      }
    }
  }

  /** @param {string} t @param {object} d */
  #tell(t, d) {
    this.#port.send(t, d, { room: this.id });
  }

  /**
   * @param {string} name
   * @param {number} ms
   * @param {() => void} fn
   * @param {boolean} [again] puts off what is waiting
   */
  #later(name, ms, fn, again = true) {
    if (!again && this.#timers.has(name)) return;
    this.#cancel(name);
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name);
        fn();
      }, ms),
    );
  }

  /** @param {string} name */
  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** @param {ConvPerson} p */
export function isMember(p) {
  return p.role === 'owner' || p.role === 'moderator' || p.role === 'member';
}

/**
 * @param {ConvMessage[]} list by seq
 * @param {number} seq
 * @returns {number} where a message stands or would
 */
function place(list, seq) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (list[mid].seq < seq) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** @param {Map<number, ConvMessage>} map @param {ConvMessage} m */
function keepNewest(map, m) {
  const known = map.get(m.seq);
  if (!known || m.rev > known.rev) map.set(m.seq, m);
}

/** @param {unknown} err @returns {RondoError} */
function toRondo(err) {
  return err instanceof RondoError ? err : new RondoError('internal', String(err));
}

/** @param {RondoError | null} err */
function transient(err) {
  return err !== null && ['offline', 'timeout', 'session_lost', 'unavailable', 'closed'].includes(err.code);
}
