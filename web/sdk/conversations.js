import { ConversationView, isMember } from './conversation.js';
import { Emitter } from './emitter.js';

/** @typedef {import('./types.js').ConvCreate} ConvCreate */
/** @typedef {import('./types.js').ConvEntry} ConvEntry */
/** @typedef {import('./types.js').ConvEvent} ConvEvent */
/** @typedef {import('./types.js').ConvFile} ConvFile */
/** @typedef {import('./types.js').ConvHit} ConvHit */
/** @typedef {import('./types.js').ConvInfo} ConvInfo */
/** @typedef {import('./types.js').ConvMessage} ConvMessage */
/** @typedef {import('./types.js').ConvPerson} ConvPerson */
/** @typedef {import('./types.js').ConvRole} ConvRole */

/**
 * @typedef {object} ConversationsEvents
 * @property {null} list the own conversations, their order, or their counts changed
 * @property {{entry: ConvEntry, message: ConvMessage}} message somebody else wrote in one of them
 * @property {string} removed id of one that we are no member of any more
 */

const reloadSoon = 300; // ms, for several reasons to read the list again
const markGap = 250; // ms between the marks of different conversations

/**
 * The own conversations and everything one does with them: chat that lasts. What
 * is asked often goes over the client's WebSocket, the rest over REST.
 *
 * @extends {Emitter<ConversationsEvents>}
 */
export class Conversations extends Emitter {
  /** Newest activity first. @type {ConvEntry[]} */
  list = [];
  /** The list was read. */
  loaded = false;

  #port;
  #rest;
  #next = '';
  /** @type {Map<string, ConversationView>} */
  #views = new Map();
  /** @type {Map<string, Set<string>>} who is here, of the own ones */
  #here = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #soon;
  /** @type {Map<string, number>} */
  #delivered = new Map(); // waiting to be told
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #marking;
  #reading = 0; // counts reads of the list

  /**
   * @param {import('./conversation.js').ConversationPort} port
   * @param {import('./rest.js').Rest} rest
   */
  constructor(port, rest) {
    super();
    this.#port = port;
    this.#rest = rest;
  }

  // ---- the list ----

  /** Reads the newest of the list. */
  async load() {
    clearTimeout(this.#soon);
    const turn = ++this.#reading;
    const page = await this.#port.request('conv.list', { limit: 100 });
    if (turn !== this.#reading) return;
    this.#next = page.next ?? '';
    this.list = page.entries ?? [];
    this.loaded = true;
    for (const e of this.list) this.#got(e, e.last?.seq ?? 0);
    this.#sorted();
  }

  /** There are more than are in the list. */
  get more() {
    return this.#next !== '';
  }

  async loadMore() {
    if (!this.#next) return;
    const turn = this.#reading;
    const page = await this.#port.request('conv.list', { limit: 100, cursor: this.#next });
    if (turn !== this.#reading) return;
    this.#next = page.next ?? '';
    const known = new Set(this.list.map((e) => e.id));
    this.list.push(...(page.entries ?? []).filter((/** @type {ConvEntry} */ e) => !known.has(e.id)));
    this.#sorted();
  }

  /** @param {string} id @returns {ConvEntry | undefined} */
  entry(id) {
    return this.list.find((e) => e.id === id);
  }

  /** How many conversations have something new. */
  get unread() {
    return this.list.filter((e) => e.unread > 0 || e.me.role === 'invited').length;
  }

  /** Who of a conversation of the list is here. @param {string} id */
  here(id) {
    return this.#here.get(id) ?? new Set();
  }

  /**
   * One conversation; `open` it to read it. There is one of each.
   * @param {string} id
   * @returns {ConversationView}
   */
  view(id) {
    let view = this.#views.get(id);
    if (view && view.state !== 'removed' && view.state !== 'failed') return view;
    view = new ConversationView(id, this.#port);
    this.#views.set(id, view);
    view.on('unread', () => this.#counted(id));
    return view;
  }

  // ---- REST ----

  /** @param {ConvCreate} create @returns {Promise<ConvEntry>} */
  async create(create) {
    return this.#entered(await this.#rest.ask('POST', '/conversations', { body: create }));
  }

  /** @param {string} id @param {Partial<ConvCreate>} patch @returns {Promise<ConvInfo>} */
  async update(id, patch) {
    return this.#rest.ask('PATCH', path(id), { body: patch });
  }

  /** @param {string} id for everybody, for good */
  async remove(id) {
    await this.#rest.ask('DELETE', path(id));
    this.#gone(id);
  }

  /** @param {string} id @param {string} [passcode] @returns {Promise<ConvEntry>} */
  async join(id, passcode) {
    return this.#entered(await this.#rest.ask('POST', path(id, 'join'), { body: passcode ? { passcode } : {} }));
  }

  /** @param {string} id */
  async leave(id) {
    await this.#rest.ask('POST', path(id, 'leave'), { body: {} });
    this.#gone(id);
  }

  /** @param {string} id @param {string} user id or username @returns {Promise<ConvPerson>} */
  invite(id, user) {
    return this.#rest.ask('POST', path(id, 'members'), { body: { user } });
  }

  /**
   * @param {string} id
   * @param {string} user id
   * @param {ConvRole} role `left` puts out, `banned` for good, `owner` hands over
   * @returns {Promise<ConvPerson>}
   */
  setRole(id, user, role) {
    return this.#rest.ask('PATCH', path(id, 'members', user), { body: { role } });
  }

  /** @param {string} id @param {string} [cursor] @returns {Promise<{people: ConvPerson[], next?: string}>} */
  members(id, cursor) {
    return this.#rest.ask('GET', path(id, 'members'), { query: { cursor } });
  }

  /** @param {string} id @returns {Promise<ConvEntry>} */
  get(id) {
    return this.#rest.ask('GET', path(id));
  }

  /** @param {{text?: string, language?: string, tag?: string, cursor?: string}} query @returns {Promise<{topics: ConvInfo[], next?: string}>} */
  directory(query) {
    return this.#rest.ask('GET', '/topics', { query });
  }

  /** @param {{text: string, room?: string, author?: string, cursor?: string}} query @returns {Promise<{hits: ConvHit[], next?: string}>} */
  search({ room, ...query }) {
    return this.#rest.ask('GET', '/search', { query: { ...query, conversation: room } });
  }

  /** @param {string} id @param {number} seq @returns {Promise<{text: string, at: number}[]>} what it said before */
  async revisions(id, seq) {
    return (await this.#rest.ask('GET', path(id, 'messages', String(seq), 'revisions'))).revisions;
  }

  /**
   * Uploads a file, to be sent with a message.
   *
   * @param {string} id
   * @param {Blob} file
   * @param {{name?: string, progress?: (part: number) => void, signal?: AbortSignal}} [options]
   * @returns {Promise<ConvFile>}
   */
  upload(id, file, { name = 'file', progress, signal } = {}) {
    return this.#rest.upload(path(id, 'files'), file, { query: { name }, progress, signal });
  }

  /**
   * Where a file is served to who has this browser's cookie; others read it by `file`.
   * @param {string} id
   */
  fileURL(id) {
    return this.#rest.url(`/files/${encodeURIComponent(id)}`);
  }

  /** @param {string} id @returns {Promise<Blob>} */
  file(id) {
    return this.#rest.blob(`/files/${encodeURIComponent(id)}`);
  }

  // ---- for Rondo ----

  /** A session is there: a new one, or the one before. @param {boolean} fresh it is somebody else's */
  connected(fresh) {
    if (fresh) {
      for (const view of this.#views.values()) view.close();
      this.#views.clear();
      this.#here.clear();
      this.list = [];
      this.loaded = false;
      this.emit('list', null);
      return;
    }
    for (const view of this.#views.values()) view.reconnected();
    if (this.loaded) this.#reloadSoon();
  }

  /** @param {import('./types.js').Push} m a push `conv.…` */
  handle({ t, room = '', d }) {
    const view = this.#views.get(room);
    if (t === 'conv.event') {
      this.#event({ room, ...d });
      view?.pushed({ room, ...d });
    } else if (t === 'conv.marks') {
      this.#marks(room, d);
      view?.marked(d);
    } else if (t === 'conv.typing') view?.typed(d);
    else if (t === 'conv.presence') {
      this.#here.set(room, new Set(d.here ?? []));
      view?.present(d);
      if (this.entry(room)) this.emit('list', null);
    } else if (t === 'conv.removed') {
      view?.removed();
      this.#gone(room);
    }
  }

  // ---- inside ----

  /** @param {ConvEvent} e */
  #event(e) {
    const entry = this.entry(e.room);
    if (!entry) {
      if (this.loaded && (e.person?.id === this.#port.you() || !this.#views.has(e.room))) this.#reloadSoon();
      return;
    }
    if (e.seq <= entry.seq) return;
    entry.seq = e.seq;
    if (e.message) this.#message(entry, e.message, e.message.seq === e.seq);
    if (e.conversation) Object.assign(entry, e.conversation);
    if (e.person?.id === entry.me.id) {
      Object.assign(entry.me, e.person, { read: Math.max(entry.me.read, e.person.read) });
      if (!isMember(e.person) && e.person.role !== 'invited') return this.#gone(e.room);
    } else if (e.person && e.person.id === entry.peer?.id) entry.peer = e.person;
    if (entry.deleted) return this.#gone(e.room);
    this.#sorted();
  }

  /** @param {ConvEntry} entry @param {ConvMessage} m @param {boolean} isNew */
  #message(entry, m, isNew) {
    if (isNew || (entry.last?.seq === m.seq && m.rev > entry.last.rev)) entry.last = m;
    if (!isNew) return;
    entry.active_at = m.at;
    if (m.from === this.#port.you()) return;
    const view = this.#views.get(entry.id);
    if (view?.state !== 'open' && m.seq > entry.me.read) entry.unread = Math.min(1000, entry.unread + 1);
    this.#got(entry, m.seq);
    this.emit('message', { entry, message: m });
  }

  /** @param {string} id @param {{user?: string, read: number, delivered: number, unread?: number}} d */
  #marks(id, d) {
    const entry = this.entry(id);
    if (!entry) return;
    const who = d.user === entry.me.id ? entry.me : d.user === entry.peer?.id ? entry.peer : null;
    if (!who) return;
    who.read = Math.max(who.read, d.read);
    who.delivered = Math.max(who.delivered, d.delivered);
    if (who === entry.me && d.read >= entry.me.read) entry.unread = d.unread ?? 0;
    this.emit('list', null);
  }

  /** The view of an open one knows better. @param {string} id */
  #counted(id) {
    const entry = this.entry(id);
    const view = this.#views.get(id);
    if (!entry || !view || entry.unread === view.unread) return;
    entry.unread = view.unread;
    this.emit('list', null);
  }

  /** A device of ours has it: tells so, a conversation at a time. @param {ConvEntry} entry @param {number} seq */
  #got(entry, seq) {
    const view = this.#views.get(entry.id);
    if (entry.kind === 'topic' || !isMember(entry.me) || seq <= entry.me.delivered || view?.state === 'open') return;
    this.#delivered.set(entry.id, seq);
    this.#marking ??= setTimeout(() => this.#markNext(), markGap);
  }

  #markNext() {
    this.#marking = undefined;
    for (const [id, delivered] of this.#delivered) {
      this.#delivered.delete(id);
      const entry = this.entry(id);
      if (!entry || entry.me.delivered >= delivered) continue;
      entry.me.delivered = delivered;
      this.#port.send('conv.mark', { delivered }, { room: id });
      break;
    }
    if (this.#delivered.size > 0) this.#marking = setTimeout(() => this.#markNext(), markGap);
  }

  /** @param {ConvEntry} entry @returns {ConvEntry} */
  #entered(entry) {
    this.list = [entry, ...this.list.filter((e) => e.id !== entry.id)];
    this.#sorted();
    return entry;
  }

  /** @param {string} id */
  #gone(id) {
    this.#views.get(id)?.removed();
    this.#views.delete(id);
    if (!this.entry(id)) return;
    this.list = this.list.filter((e) => e.id !== id);
    this.emit('list', null);
    this.emit('removed', id);
  }

  #reloadSoon() {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.load().catch(() => {}), reloadSoon);
  }

  #sorted() {
    this.list.sort((a, b) => b.active_at - a.active_at);
    this.emit('list', null);
  }
}

/** @param {...string} parts @returns {string} */
function path(...parts) {
  const [id, kind, ...rest] = parts;
  return ['/conversations', encodeURIComponent(id), ...(kind ? [kind] : []), ...rest.map(encodeURIComponent)].join('/');
}
