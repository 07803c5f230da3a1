import { isMember } from '../sdk/rondo.js';
import { Composer } from './composer.js';
import { LogView } from './log.js';
import { closeFloating, openEmoji, openMenu } from './menu.js';
import { draftRow, hue, messageRow, signature, snippet } from './message.js';
import { drawFace } from './picture.js';
import { rich } from './rich.js';
import { $, complain, copyText, el, icon, openDialog, say } from './ui.js';
import { convWords, count, dayKey, dayWords, membersWords, typingWords } from './words.js';

/** @typedef {import('../sdk/rondo.js').Conversations} Conversations */
/** @typedef {import('../sdk/rondo.js').ConversationView} ConversationView */
/** @typedef {import('../sdk/types.js').ConvMessage} ConvMessage */
/** @typedef {import('../sdk/types.js').ConvFile} ConvFile */
/** @typedef {import('./log.js').Row} Row */

const mostUnread = 300; // messages that one is taken back to read
const together = 5 * 60_000; // ms within which messages of one person stand together

/**
 * What the panel needs, and what it has done elsewhere.
 *
 * @typedef {object} TalkOptions
 * @property {Conversations} conversations
 * @property {() => string} you user id
 * @property {() => boolean} guest
 * @property {() => string} language what the reader reads
 * @property {() => boolean} translates the server can
 * @property {() => void} back
 * @property {() => void} members
 * @property {() => void} settings
 * @property {() => void} leave
 * @property {() => void} join
 * @property {() => void} signIn
 */

/** The panel of one conversation. */
export class TalkPanel {
  #o;
  /** @type {ConversationView | null} */
  #view = null;
  /** @type {(() => void)[]} */
  #stops = [];
  #log = new LogView($('talk-scroll', HTMLElement), $('talk-log', HTMLElement));
  #composer;
  #tools = this.#makeTools();
  /** @type {ConvMessage | null} */
  #over = null; // the message that the tools are of
  /** @type {Map<number, ConvMessage | null>} */
  #quotes = new Map();
  /** @type {Set<number>} */
  #asked = new Set();
  /** @type {Promise<unknown>} */
  #quoting = Promise.resolve();
  /** @type {Map<string, Promise<string>>} */
  #blobs = new Map();
  #thread = 0;
  /** @type {ConvMessage[]} */
  #answers = [];
  /** @type {Set<number>} */
  #originals = new Set();
  #unreadAfter = 0;
  #pending = 0; // a frame that draws
  #busy = false; // a page is under way
  #said = 0; // the last message that was read out

  /** @param {TalkOptions} options */
  constructor(options) {
    this.#o = options;
    this.#composer = new Composer((room, file, o) => options.conversations.upload(room, file, o));
    this.#composer.who = (id) => this.#who(id);
    this.#composer.lastOwn = () => this.#view?.messages.findLast((m) => m.from === options.you() && !m.deleted_at);
    this.#composer.thread = () => this.#thread;
    this.#composer.onSent = () => void this.#sent();
    this.#log.onNear = (up) => void this.#more(up);
    this.#log.onScroll = () => this.#looked();
    this.#wireHead();
    this.#wireLog();
    this.#wireDrop();
    addEventListener('focus', () => this.#looked());
    document.addEventListener('visibilitychange', () => this.#looked());
  }

  /** The conversation that is shown. */
  get view() {
    return this.#view;
  }

  /** @param {ConversationView} view */
  open(view) {
    if (this.#view === view && view.state === 'open') return;
    this.close();
    this.#view = view;
    this.#unreadAfter = 0;
    this.#said = 0;
    const entry = this.#o.conversations.entry(view.id);
    this.#head(entry ?? null);
    this.#composer.open(view);
    this.#stops = [
      view.on('messages', ({ reset }) => this.#changed(reset)),
      view.on('drafts', () => this.#draw()),
      view.on('people', () => this.#drawAll()),
      view.on('info', () => this.#drawAll()),
      view.on('presence', () => this.#drawSub()),
      view.on('typing', (list) => ($('talk-typing', HTMLElement).textContent = typingWords(list))),
      view.on('pins', () => void this.#drawPins()),
      view.on('unread', () => this.#drawJump()),
      view.on('translations', () => this.#draw()),
      view.on('open', () => this.#opened()),
      view.on('failed', (err) => this.#failed(err)),
    ];
    this.#drawJoin();
    const translate = readTranslate(view.id);
    view.readIn(this.#o.translates() ? translate : '');
    this.#drawTranslate();
    if (entry?.me.role === 'invited') return; // it is open to who has joined
    if (view.state === 'open') this.#opened();
    else void view.open();
  }

  close() {
    for (const stop of this.#stops.splice(0)) stop();
    closeFloating();
    this.#composer.close();
    this.#view?.close();
    this.#view = null;
    this.#quotes.clear();
    for (const url of this.#blobs.values()) url.then(URL.revokeObjectURL, () => {});
    this.#blobs.clear();
    this.#originals.clear();
    this.#setThread(0);
    this.#closeFind();
    this.#log.clear();
    $('talk-typing', HTMLElement).textContent = '';
    $('talk-live', HTMLElement).textContent = '';
    $('pin-bar', HTMLElement).hidden = true;
  }

  focus() {
    if (!matchMedia('(pointer: coarse)').matches && !$('composer', HTMLElement).hidden) this.#composer.focus();
    else $('talk-title', HTMLElement).focus({ preventScroll: true });
  }

  /** Shows a message, wherever it is. @param {number} seq */
  async jump(seq) {
    const view = this.#view;
    if (!view || !seq) return;
    this.#setThread(0);
    try {
      if (!(await view.around(seq))) {
        say('That message is gone');
        return;
      }
    } catch (err) {
      complain(convWords(err), 'history');
      return;
    }
    if (this.#view !== view) return;
    this.#draw(true);
    this.#log.show(`m${seq}`);
    const node = this.#log.node(`m${seq}`);
    node?.focus({ preventScroll: true });
    node?.classList.add('found');
    setTimeout(() => node?.classList.remove('found'), 2200);
  }

  // ---- the view's events ----

  #opened() {
    const view = this.#view;
    if (!view) return;
    if (this.#unreadAfter === 0 && view.unread > 0 && view.me) this.#unreadAfter = view.me.read || -1;
    this.#drawAll();
    void this.#drawPins();
    this.#said = Math.max(this.#said, view.messages.at(-1)?.seq ?? 0);
    this.#draw(true);
    void this.#toUnread(view);
    this.#looked();
  }

  /** Goes to where the unread ones begin, unless they are too many to be read. @param {ConversationView} view */
  async #toUnread(view) {
    if (this.#unreadAfter > 0 && !this.#firstUnread() && view.unread > 0 && view.unread <= mostUnread) {
      await view.around(this.#unreadAfter).catch(() => false);
      if (this.#view !== view) return;
      this.#draw(true);
    }
    if (this.#firstUnread()) this.#log.show('unread', 'start');
  }

  /** @param {any} err */
  #failed(err) {
    if (err.code === 'passcode') {
      this.#o.join();
      return;
    }
    $('composer', HTMLElement).hidden = true;
    complain(convWords(err), err.code);
  }

  /** @param {boolean} reset */
  #changed(reset) {
    if (reset) this.#log.clear();
    this.#sayNew();
    if (this.#thread) void this.#readThread();
    this.#draw(reset);
  }

  /** Reads out what is new. */
  #sayNew() {
    const view = this.#view;
    if (!view || view.state !== 'open' || view.newer) return;
    const fresh = view.messages.filter((m) => m.seq > this.#said && m.from !== this.#o.you() && !m.deleted_at);
    if (this.#said && fresh.length) $('talk-live', HTMLElement).textContent = fresh.length > 3 ? count(fresh.length, 'new message', 'new messages') : fresh.map((m) => `${m.name}: ${snippet(m, (id) => this.#who(id))}`).join('. ');
    this.#said = Math.max(this.#said, view.messages.at(-1)?.seq ?? 0);
  }

  /** @param {boolean} up */
  async #more(up) {
    const view = this.#view;
    if (!view || this.#busy || this.#thread || view.state !== 'open' || !(up ? view.older : view.newer)) return;
    this.#busy = true;
    try {
      if (up) await view.loadOlder();
      else await view.loadNewer();
    } catch {
      await new Promise((done) => setTimeout(done, 1500));
    } finally {
      this.#busy = false;
      this.#log.check();
    }
  }

  async #sent() {
    const view = this.#view;
    if (!view) return;
    this.#unreadAfter = 0;
    if (view.newer) await view.latest().catch(() => {});
    this.#draw(true);
    this.#log.toEnd();
  }

  /** Somebody may have seen more. */
  #looked() {
    const view = this.#view;
    this.#drawJump();
    if (!view || view.state !== 'open' || document.hidden || !document.hasFocus() || document.documentElement.dataset.view !== 'chats' || this.#thread) return;
    const seq = this.#log.lastSeen();
    if (seq) view.seen(seq);
  }

  // ---- drawing ----

  #drawAll() {
    const view = this.#view;
    if (!view) return;
    this.#head(view.info ? { ...view.info, peer: this.#peer() } : null);
    this.#drawSub();
    this.#drawJoin();
    this.#draw();
  }

  #peer() {
    const view = this.#view;
    if (view?.info?.kind !== 'direct') return undefined;
    return [...view.people.values()].find((p) => p.id !== this.#o.you()) ?? this.#o.conversations.entry(view.id)?.peer;
  }

  /** @param {{kind: string, name?: string, peer?: {id: string, name: string}} | null} c */
  #head(c) {
    const name = c?.kind === 'direct' ? (c.peer?.name ?? 'Deleted account') : (c?.name ?? '');
    $('talk-title', HTMLElement).textContent = name || ' ';
    $('talk', HTMLElement).dataset.kind = c?.kind ?? '';
    const face = $('talk-face', HTMLElement);
    face.dataset.hue = hue(c?.peer?.id ?? this.#view?.id ?? '');
    if (c?.kind === 'topic') face.replaceChildren(icon('hash'));
    else drawFace(face, name);
    $('talk-members', HTMLElement).hidden = c?.kind !== 'group' && c?.kind !== 'topic';
    this.#drawSub();
  }

  #drawSub() {
    const view = this.#view;
    const info = view?.info;
    if (!view || !info) {
      $('talk-sub', HTMLElement).textContent = '';
      return;
    }
    const peer = this.#peer();
    const words = info.kind === 'direct' ? (peer && view.here.has(peer.id) ? 'Here now' : '') : membersWords(info.kind, info.members, view.online);
    $('talk-sub', HTMLElement).textContent = words;
    $('talk-sub', HTMLElement).classList.toggle('online', info.kind === 'direct' && words !== '');
  }

  #drawJoin() {
    const view = this.#view;
    const entry = view ? this.#o.conversations.entry(view.id) : undefined;
    const info = view?.info ?? entry;
    const me = view?.me ?? entry?.me;
    const role = me?.role;
    const member = me !== undefined && isMember(me);
    const outside = info !== undefined && !member;
    const guest = this.#o.guest();
    const mayWrite = !info || (role !== 'banned' && role !== 'invited' && (info.writers === 'moderators' ? role === 'owner' || role === 'moderator' : member || (info.kind === 'topic' && info.writers === 'everyone' && (!guest || info.guests))));
    $('join-bar', HTMLElement).hidden = !outside || role === 'banned';
    $('composer', HTMLElement).hidden = !mayWrite || view?.state === 'failed';
    const words = role === 'invited' ? `You are invited to “${info?.name ?? ''}”.` : guest && info && !info.guests ? 'Log in to take part.' : mayWrite ? 'Join to find it among your chats.' : 'Join to write here.';
    $('join-words', HTMLElement).textContent = words;
    $('join', HTMLElement).textContent = guest && info && !info.guests ? 'Log in' : 'Join';
  }

  /** @param {boolean} [now] else in the next frame */
  #draw(now = false) {
    if (!now) {
      this.#pending ||= requestAnimationFrame(() => this.#draw(true));
      return;
    }
    cancelAnimationFrame(this.#pending);
    this.#pending = 0;
    if (!this.#view) return;
    this.#log.draw(this.#thread ? this.#threadRows() : this.#rows(), { live: !this.#view.newer || this.#thread > 0 });
    this.#drawJump();
  }

  /** @returns {Row[]} */
  #rows() {
    const view = /** @type {ConversationView} */ (this.#view);
    /** @type {Row[]} */
    const rows = [];
    if (!view.older && view.info) rows.push(this.#intro(view.info));
    else if (view.older) rows.push({ key: 'older', sig: '', make: () => el('li', { class: 'log-note' }, 'Earlier messages …') });
    rows.push(...this.#messageRows(view.messages, this.#firstUnread()));
    if (!view.newer) rows.push(...this.#draftRows((d) => !d.thread));
    return rows;
  }

  /** @param {ConvMessage[]} list @param {number} unread seq of the first unread one @returns {Row[]} */
  #messageRows(list, unread) {
    const ctx = this.#context();
    const now = Date.now();
    /** @type {Row[]} */
    const rows = [];
    for (const [i, m] of list.entries()) {
      const before = list[i - 1];
      const after = list[i + 1];
      const day = dayKey(m.at);
      const newDay = !before || dayKey(before.at) !== day;
      if (newDay) rows.push({ key: `d${day}`, sig: dayWords(m.at, now), make: () => el('li', { class: 'day' }, el('span', {}, dayWords(m.at, now))) });
      if (m.seq === unread) rows.push({ key: 'unread', sig: '', make: () => el('li', { class: 'unread-line', 'data-testid': 'unread-line' }, el('span', {}, 'New')) });
      const joins = (/** @type {ConvMessage | undefined} */ a, /** @type {ConvMessage} */ b) => a !== undefined && a.from === b.from && b.at - a.at < together && dayKey(a.at) === dayKey(b.at) && b.seq !== unread;
      const at = { first: !joins(before, m), last: !(after && joins(m, after)) };
      rows.push({ key: `m${m.seq}`, sig: signature(m, at, ctx), make: () => messageRow(m, at, ctx) });
    }
    return rows;
  }

  /** @param {(d: import('../sdk/conversation.js').ConvDraft) => boolean} which @returns {Row[]} */
  #draftRows(which) {
    const view = /** @type {ConversationView} */ (this.#view);
    return [...view.drafts.values()].filter(which).map((d) => ({ key: `c${d.cid}`, sig: `${d.state} ${d.error?.code ?? ''}`, make: () => draftRow(d, this.#context(), convWords(d.error)) }));
  }

  /** What stands before the first message. @param {import('../sdk/types.js').ConvInfo} info @returns {Row} */
  #intro(info) {
    return {
      key: 'intro',
      sig: `${info.rev} ${info.name}`,
      make: () => {
        const li = el('li', { class: 'intro', 'data-testid': 'intro' });
        if (info.kind === 'topic') {
          li.append(el('h2', { dir: 'auto' }, info.name ?? ''));
          if (info.about) li.append(el('p', { dir: 'auto' }, ...rich(info.about, (id) => this.#who(id))));
          if (info.tags?.length) li.append(el('p', { class: 'tags' }, ...info.tags.map((t) => el('span', { class: 'tag', dir: 'auto' }, t))));
        } else li.append(el('p', {}, info.kind === 'direct' ? 'This is where your chat begins.' : 'This is where the group begins.'));
        return li;
      },
    };
  }

  #firstUnread() {
    const view = this.#view;
    if (!view || this.#unreadAfter === 0) return 0;
    if (view.older && view.messages[0]?.seq > this.#unreadAfter) return 0; // they begin earlier
    return view.messages.find((m) => m.seq > this.#unreadAfter && m.from !== this.#o.you())?.seq ?? 0;
  }

  #drawJump() {
    const view = this.#view;
    const jump = $('talk-jump', HTMLElement);
    jump.hidden = !view || this.#thread > 0 || (this.#log.atEnd && !view.newer);
    const n = view?.unread ?? 0;
    $('talk-jump-count', HTMLElement).hidden = n === 0;
    $('talk-jump-count', HTMLElement).textContent = n > 99 ? '99+' : String(n);
  }

  /** @returns {import('./message.js').MessageContext} */
  #context() {
    const view = /** @type {ConversationView} */ (this.#view);
    return {
      you: this.#o.you(),
      faces: view.info?.kind !== 'direct',
      who: (id) => this.#who(id),
      fileURL: (id) => this.#o.conversations.fileURL(id),
      fileOf: this.#o.guest() ? (id) => this.#blob(id) : null,
      quoted: (seq) => this.#quoted(seq),
      receipt: (seq) => (view.info?.kind === 'topic' ? '' : view.receipt(seq)),
      translation: (seq) => view.translations.get(seq),
      original: (seq) => this.#originals.has(seq),
      flip: (seq) => this.#flip(seq),
      jump: (seq) => void this.jump(seq),
      react: (m, emoji, on) => this.#try(view.react(m.seq, emoji, on)),
      thread: (seq) => this.#setThread(seq),
      enlarge: (f) => void this.#enlarge(f),
      retry: (cid) => void view.retry(cid).catch(() => {}),
      discard: (cid) => view.discard(cid),
    };
  }

  /** @param {string} id */
  #who(id) {
    const view = this.#view;
    if (id === this.#o.you()) return { name: view?.me?.name ?? view?.people.get(id)?.name ?? 'you', you: true };
    return { name: view?.people.get(id)?.name ?? view?.messages.find((m) => m.from === id)?.name ?? 'somebody', you: false };
  }

  /** @param {number} seq */
  #quoted(seq) {
    const view = /** @type {ConversationView} */ (this.#view);
    const known = view.get(seq) ?? this.#quotes.get(seq);
    if (known !== undefined || this.#quotes.has(seq) || this.#asked.has(seq)) return known;
    this.#asked.add(seq);
    this.#quoting = this.#quoting.then(async () => {
      if (this.#view !== view) return;
      try {
        const { messages } = await view.history({ around: seq, limit: 1 });
        this.#quotes.set(seq, messages?.find((m) => m.seq === seq) ?? null);
        this.#draw();
      } catch {
        // it stays unknown
      } finally {
        this.#asked.delete(seq);
      }
    });
    return undefined;
  }

  /** @param {number} seq */
  #flip(seq) {
    if (!this.#originals.delete(seq)) this.#originals.add(seq);
    this.#draw();
  }

  /** @param {ConvFile} f */
  async #enlarge(f) {
    const img = $('picture-large', HTMLImageElement);
    img.src = this.#o.guest() ? await this.#blob(f.id).catch(() => '') : this.#o.conversations.fileURL(f.id);
    img.alt = f.name;
    openDialog($('picture-dialog', HTMLDialogElement));
  }

  /** A file as an address in this page, for as long as the conversation is shown. @param {string} id @returns {Promise<string>} */
  #blob(id) {
    let url = this.#blobs.get(id);
    if (!url) {
      url = this.#o.conversations.file(id).then((blob) => URL.createObjectURL(blob));
      url.catch(() => this.#blobs.delete(id));
      this.#blobs.set(id, url);
    }
    return url;
  }

  /** @param {Promise<unknown>} work */
  #try(work) {
    work.catch((err) => complain(convWords(err), err?.code));
  }

  // ---- threads ----

  /** @param {number} root seq of its first message; 0: the whole conversation */
  #setThread(root) {
    if (this.#thread === root) return;
    this.#thread = root;
    this.#answers = [];
    $('thread-bar', HTMLElement).hidden = root === 0;
    if (!this.#view) return;
    this.#log.clear();
    this.#draw(true);
    if (root) void this.#readThread();
  }

  async #readThread() {
    const view = this.#view;
    const root = this.#thread;
    if (!view || !root) return;
    try {
      const [first, answers] = await Promise.all([view.get(root) ?? view.history({ around: root, limit: 1 }).then((h) => h.messages?.find((m) => m.seq === root)), view.history({ thread: root, limit: 100 })]);
      if (this.#view !== view || this.#thread !== root) return;
      this.#answers = [...(first ? [first] : []), ...(answers.messages ?? []).filter((m) => m.seq !== root)];
      this.#draw(true);
    } catch (err) {
      complain(convWords(err), 'thread');
    }
  }

  /** @returns {Row[]} */
  #threadRows() {
    return [...this.#messageRows(this.#answers, 0), ...this.#draftRows((d) => d.reply_to === this.#thread && d.thread === true)];
  }

  // ---- what one does with a message ----

  #makeTools() {
    const tool = (/** @type {string} */ name, /** @type {string} */ label, /** @type {(b: HTMLElement) => void} */ run) => {
      const b = el('button', { type: 'button', 'aria-label': label, title: label, 'data-testid': `tool-${name}` }, icon(name));
      b.addEventListener('click', () => run(b));
      return b;
    };
    return el(
      'div',
      { class: 'msg-tools', role: 'toolbar', 'aria-label': 'Message', 'data-testid': 'msg-tools' },
      tool('smile', 'React', (b) => {
        const m = this.#over;
        if (m) openEmoji(b, (emoji) => this.#react(m, emoji));
      }),
      tool('reply', 'Reply', () => this.#over && this.#composer.reply(this.#over)),
      tool('more', 'More', (b) => this.#over && this.#messageMenu(b, this.#over)),
    );
  }

  /** @param {ConvMessage} m @param {string} emoji */
  #react(m, emoji) {
    const mine = m.reactions?.find((r) => r.emoji === emoji)?.by.includes(this.#o.you()) ?? false;
    if (this.#view) this.#try(this.#view.react(m.seq, emoji, !mine));
  }

  /** @param {HTMLElement} by @param {ConvMessage} m */
  #messageMenu(by, m) {
    const view = this.#view;
    if (!view) return;
    const own = m.from === this.#o.you();
    const leads = view.me?.role === 'owner' || view.me?.role === 'moderator';
    /** @type {import('./menu.js').MenuItem[]} */
    const items = [];
    if (own) items.push({ words: 'Edit', testid: 'edit', run: () => this.#composer.edit(m) });
    if (m.text) items.push({ words: 'Copy text', run: () => void copyText(m.text).then((ok) => say(ok ? 'Copied' : 'That could not be copied')) });
    items.push({ words: m.replies ? 'Open the thread' : 'Answer in a thread', testid: 'thread', run: () => this.#openThread(m) });
    if (leads || view.info?.kind === 'direct') items.push({ words: m.pinned ? 'Unpin' : 'Pin', testid: 'pin', run: () => this.#try(view.pin(m.seq, !m.pinned)) });
    if (own || leads) items.push({ words: 'Delete', testid: 'delete-message', danger: true, run: () => this.#try(view.delete(m.seq)) });
    openMenu(by, items);
  }

  /** @param {ConvMessage} m */
  #openThread(m) {
    this.#setThread(m.thread || m.seq);
    this.#composer.focus();
  }

  #wireLog() {
    const list = $('talk-log', HTMLElement);
    const over = (/** @type {Event} */ e) => {
      const row = e.target instanceof Element ? e.target.closest('.msg') : null;
      if (row instanceof HTMLElement) this.#showTools(row);
    };
    list.addEventListener('pointerover', (e) => {
      if (e.pointerType === 'mouse' && !list.querySelector('.msg-tools [aria-expanded="true"]')) over(e);
    });
    list.addEventListener('focusin', over);
    list.addEventListener('click', (e) => {
      if (e.target instanceof Element && !e.target.closest('button, a')) over(e);
    });
    list.addEventListener('keydown', (e) => this.#walk(e));
    const scroll = $('talk-scroll', HTMLElement);
    scroll.addEventListener('keydown', (e) => {
      if (e.target !== scroll || (e.key !== 'ArrowUp' && e.key !== 'Enter')) return;
      e.preventDefault();
      lastOf(list)?.focus();
    });
    $('talk-jump', HTMLButtonElement).addEventListener('click', () => void this.#toNewest());
  }

  async #toNewest() {
    await this.#view?.latest().catch(() => {});
    this.#draw(true);
    this.#log.toEnd();
  }

  /** @param {HTMLElement} row */
  #showTools(row) {
    const seq = Number(row.dataset.seq ?? 0);
    const m = this.#view?.get(seq) ?? this.#answers.find((a) => a.seq === seq);
    const member = this.#view?.me ? isMember(this.#view.me) : !$('composer', HTMLElement).hidden;
    if (!m || m.deleted_at || !member) {
      this.#tools.remove();
      return;
    }
    this.#over = m;
    const body = row.querySelector('.msg-body');
    if (this.#tools.parentElement !== body) body?.append(this.#tools);
  }

  /** From message to message by the arrow keys. @param {KeyboardEvent} e */
  #walk(e) {
    const row = e.target instanceof HTMLElement ? e.target.closest('.msg') : null;
    if (!(row instanceof HTMLElement) || e.altKey || e.ctrlKey || e.metaKey) return;
    if (e.key === 'Escape') {
      e.preventDefault();
      this.#composer.focus();
    } else if (e.key === 'ArrowUp' || e.key === 'ArrowDown') {
      const to = e.key === 'ArrowUp' ? before(row) : after(row);
      e.preventDefault();
      if (to) to.focus();
      else if (e.key === 'ArrowDown') this.#composer.focus();
    } else if (e.target === row && e.key === 'Enter') {
      e.preventDefault();
      const first = row.querySelector('.msg-tools button');
      if (first instanceof HTMLElement) first.focus();
    } else if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') {
      const all = [...row.querySelectorAll('.msg-tools button')];
      const at = all.indexOf(/** @type {Element} */ (document.activeElement));
      const to = all[(at + (e.key === 'ArrowRight' ? 1 : -1) + all.length) % all.length];
      if (at < 0 || !(to instanceof HTMLElement)) return;
      e.preventDefault();
      to.focus();
    }
  }

  // ---- head ----

  #wireHead() {
    $('talk-back', HTMLButtonElement).addEventListener('click', () => this.#o.back());
    $('talk-members', HTMLButtonElement).addEventListener('click', () => this.#o.members());
    $('thread-close', HTMLButtonElement).addEventListener('click', () => this.#setThread(0));
    $('join', HTMLButtonElement).addEventListener('click', () => (this.#o.guest() && !this.#view?.info?.guests ? this.#o.signIn() : this.#o.join()));
    $('talk-more', HTMLButtonElement).addEventListener('click', (e) => this.#headMenu(/** @type {HTMLElement} */ (e.currentTarget)));
    $('talk-translate', HTMLButtonElement).addEventListener('click', () => this.#toggleTranslate());
    $('talk-search', HTMLButtonElement).addEventListener('click', () => this.#openFind());
    $('talk-find-close', HTMLButtonElement).addEventListener('click', () => this.#closeFind());
    $('pin-text', HTMLButtonElement).addEventListener('click', () => void this.#nextPin());
    const text = $('talk-find-text', HTMLInputElement);
    let timer = 0;
    text.addEventListener('input', () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => void this.#find(text.value.trim()), 250);
    });
    text.addEventListener('keydown', (e) => {
      if (e.key === 'Escape') this.#closeFind();
    });
    $('talk-find', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      void this.#find(text.value.trim());
    });
  }

  /** @param {HTMLElement} by */
  #headMenu(by) {
    const view = this.#view;
    const info = view?.info;
    if (!view || !info) return;
    /** @type {import('./menu.js').MenuItem[]} */
    const items = [];
    const member = view.me !== null && isMember(view.me);
    if (info.kind !== 'direct') items.push({ words: 'Members', testid: 'menu-members', run: () => this.#o.members() });
    if (view.me?.role === 'owner' || view.me?.role === 'moderator') if (info.kind !== 'direct') items.push({ words: 'Settings', testid: 'menu-settings', run: () => this.#o.settings() });
    items.push({ words: 'Copy link', run: () => void copyText(`${location.origin}/c/${view.id}`).then((ok) => say(ok ? 'The link is in the clipboard' : 'That could not be copied')) });
    if (member && info.kind !== 'direct') items.push({ words: 'Leave', testid: 'menu-leave', danger: true, run: () => this.#o.leave() });
    openMenu(by, items);
  }

  #drawTranslate() {
    const b = $('talk-translate', HTMLButtonElement);
    b.hidden = !this.#o.translates();
    const on = this.#view?.language !== '' && this.#view !== null;
    b.setAttribute('aria-pressed', String(on));
    b.setAttribute('aria-label', 'Read in my language');
    b.title = on ? 'Translation is on' : 'Read in my language';
  }

  #toggleTranslate() {
    const view = this.#view;
    if (!view) return;
    const to = view.language ? '' : this.#o.language();
    keepTranslate(view.id, to);
    this.#originals.clear();
    view.readIn(to);
    this.#drawTranslate();
    say(to ? 'Messages are translated for you' : 'Messages are shown as they were written');
  }

  // ---- search in this conversation ----

  #openFind() {
    const bar = $('talk-find', HTMLElement);
    if (!bar.hidden) {
      this.#closeFind();
      return;
    }
    bar.hidden = false;
    $('talk-search', HTMLElement).setAttribute('aria-expanded', 'true');
    $('talk-find-text', HTMLInputElement).focus();
  }

  #closeFind() {
    $('talk-find', HTMLElement).hidden = true;
    $('talk-hits', HTMLElement).hidden = true;
    $('talk-search', HTMLElement).setAttribute('aria-expanded', 'false');
    $('talk-find-text', HTMLInputElement).value = '';
  }

  /** @param {string} text */
  async #find(text) {
    const view = this.#view;
    const box = $('talk-hits', HTMLElement);
    if (!view || text === '') {
      box.hidden = true;
      return;
    }
    try {
      const { hits } = await this.#o.conversations.search({ text, room: view.id });
      if (this.#view !== view || $('talk-find-text', HTMLInputElement).value.trim() !== text) return;
      box.hidden = false;
      box.replaceChildren(...(hits ?? []).map((h) => hitRow(h.message, '', (id) => this.#who(id), () => void this.#toHit(h.message.seq))));
      if (!hits?.length) box.append(el('li', { class: 'side-note' }, 'Nothing found'));
      say(count(hits?.length ?? 0, 'message found', 'messages found'), { quiet: true });
    } catch (err) {
      complain(convWords(err), 'search');
    }
  }

  /** @param {number} seq */
  async #toHit(seq) {
    if (matchMedia('(width < 900px)').matches) this.#closeFind();
    await this.jump(seq);
  }

  // ---- pins ----

  #pinAt = 0;

  async #drawPins() {
    const view = this.#view;
    const bar = $('pin-bar', HTMLElement);
    const pins = view?.pins ?? [];
    if (!view || pins.length === 0) {
      bar.hidden = true;
      return;
    }
    this.#pinAt = Math.min(this.#pinAt, pins.length - 1);
    const seq = pins[this.#pinAt];
    const m = view.get(seq) ?? (await view.history({ around: seq, limit: 1 }).then((h) => h.messages?.find((x) => x.seq === seq), () => undefined));
    if (this.#view !== view) return;
    bar.hidden = !m;
    $('pin-words', HTMLElement).textContent = m ? snippet(m, (id) => this.#who(id)) : '';
    $('pin-count', HTMLElement).textContent = pins.length > 1 ? `${this.#pinAt + 1} of ${pins.length}` : '';
  }

  async #nextPin() {
    const pins = this.#view?.pins ?? [];
    const seq = pins[this.#pinAt];
    this.#pinAt = (this.#pinAt + 1) % Math.max(1, pins.length);
    await this.jump(seq);
    await this.#drawPins();
  }

  // ---- drop ----

  #wireDrop() {
    const talk = $('talk', HTMLElement);
    const here = $('drop-here', HTMLElement);
    const files = (/** @type {DragEvent} */ e) => e.dataTransfer?.types.includes('Files') && !$('composer', HTMLElement).hidden;
    talk.addEventListener('dragover', (e) => {
      if (!files(e)) return;
      e.preventDefault();
      here.hidden = false;
    });
    talk.addEventListener('dragleave', (e) => {
      if (!(e.relatedTarget instanceof Node) || !talk.contains(e.relatedTarget)) here.hidden = true;
    });
    talk.addEventListener('drop', (e) => {
      here.hidden = true;
      if (!files(e)) return;
      e.preventDefault();
      this.#composer.attach([...(e.dataTransfer?.files ?? [])]);
    });
  }
}

/**
 * A message that was found.
 *
 * @param {ConvMessage} m
 * @param {string} where name of the conversation; '': this one
 * @param {(id: string) => {name: string}} who
 * @param {() => void} run
 */
export function hitRow(m, where, who, run) {
  const b = el('button', { type: 'button', class: 'hit', 'data-testid': 'hit', 'data-seq': String(m.seq) }, el('span', { class: 'hit-head' }, el('b', { dir: 'auto' }, where ? `${m.name}, ${where}` : m.name), el('time', {}, dayWords(m.at, Date.now()))), el('span', { class: 'hit-text', dir: 'auto' }, snippet(m, who)));
  b.addEventListener('click', run);
  return el('li', {}, b);
}

/** @param {Element} row */
function before(row) {
  return /** @type {HTMLElement | null} */ (sibling(row, 'previousElementSibling'));
}

/** @param {Element} row */
function after(row) {
  return /** @type {HTMLElement | null} */ (sibling(row, 'nextElementSibling'));
}

/** @param {Element} row @param {'previousElementSibling' | 'nextElementSibling'} way */
function sibling(row, way) {
  let next = row[way];
  while (next && !next.classList.contains('msg')) next = next[way];
  return next;
}

/** @param {HTMLElement} list @returns {HTMLElement | undefined} */
function lastOf(list) {
  return /** @type {HTMLElement | undefined} */ ([...list.querySelectorAll('.msg')].at(-1));
}

const key = 'rondo.translate';

/** @returns {Record<string, string>} language by conversation */
function translateChoices() {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '{}');
  } catch {
    return {};
  }
}

/** @param {string} id */
function readTranslate(id) {
  const to = translateChoices()[id];
  return typeof to === 'string' ? to : '';
}

/** @param {string} id @param {string} to */
function keepTranslate(id, to) {
  const all = translateChoices();
  delete all[id];
  if (to) all[id] = to;
  try {
    localStorage.setItem(key, JSON.stringify(Object.fromEntries(Object.entries(all).slice(-200))));
  } catch {
    // until the page is closed
  }
}
