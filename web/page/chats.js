import { AskDialog, ConvSettings, NewDialog, PeopleDialog } from './convdialogs.js';
import { Directory } from './directory.js';
import { hue, snippet } from './message.js';
import { drawFace } from './picture.js';
import { TalkPanel, hitRow } from './talk.js';
import { $, complain, currentView, el, icon, say, showView } from './ui.js';
import { convWords, count, shortTime } from './words.js';

/** @typedef {import('../sdk/rondo.js').Rondo} Rondo */
/** @typedef {import('../sdk/types.js').ConvEntry} ConvEntry */

/** Where one is among the chats: the list, the directory, or one of them. @typedef {'' | 'topics' | string} Place */

const path = /^\/c(?:\/(topics|c_[A-Za-z0-9_-]{1,62}))?$/;

/** The place of chat that lasts: the list, the directory, and the open conversation. */
export class Chats {
  #rondo;
  #o;
  /** @type {TalkPanel} */
  #talk;
  #directory;
  #new;
  #settings;
  #people;
  #ask = new AskDialog();
  /** @type {Place} */
  #place = '';
  #loading = false;

  /**
   * @param {Rondo} rondo
   * @param {object} options
   * @param {() => string} options.language what the reader reads
   * @param {() => void} options.signIn
   */
  constructor(rondo, options) {
    this.#rondo = rondo;
    this.#o = options;
    const conversations = rondo.conversations;
    const you = () => rondo.user?.id ?? '';
    this.#talk = new TalkPanel({
      conversations,
      you,
      guest: () => this.#guest,
      language: options.language,
      translates: () => rondo.features.includes('translate'),
      back: () => this.go(''),
      members: () => this.#talk.view && this.#people.open(this.#talk.view),
      settings: () => this.#talk.view && this.#settings.open(this.#talk.view),
      leave: () => this.#leave(),
      join: () => void this.#join(),
      signIn: options.signIn,
    });
    this.#directory = new Directory(conversations, (id) => this.go(id));
    this.#new = new NewDialog(conversations, (id) => this.go(id));
    this.#settings = new ConvSettings(conversations, this.#ask);
    this.#people = new PeopleDialog(conversations, you);
    this.#wire();
  }

  /** @param {string} pathname @returns {Place | null} null: the address is of something else */
  static place(pathname) {
    const m = path.exec(pathname);
    return m ? (m[1] ?? '') : null;
  }

  /** The server has conversations. */
  get there() {
    return this.#rondo.features.includes('conversations');
  }

  get #guest() {
    return this.#rondo.user?.guest !== false;
  }

  /**
   * Shows a place, and says so in the address.
   * @param {Place} place
   */
  go(place) {
    const to = place ? `/c/${place}` : '/c';
    if (location.pathname !== to) history.pushState(null, '', to);
    this.show(place);
  }

  /** @param {Place} place that the address names */
  show(place) {
    this.#place = place;
    showView('chats', $('chats-title', HTMLElement));
    const view = $('view-chats', HTMLElement);
    view.dataset.pane = place === '' ? 'list' : place === 'topics' ? 'topics' : 'talk';
    document.documentElement.dataset.pane = view.dataset.pane;
    const talks = place !== '' && place !== 'topics';
    $('talk', HTMLElement).hidden = !talks;
    $('topics', HTMLElement).hidden = place !== 'topics';
    $('no-talk', HTMLElement).hidden = place !== '';
    $('topics-open', HTMLElement).setAttribute('aria-current', String(place === 'topics'));
    if (!talks) this.#talk.close();
    void this.load();
    this.#drawList();
    if (place === 'topics') {
      void this.#directory.load();
      $('topics-title', HTMLElement).focus({ preventScroll: true });
    } else if (talks) {
      this.#talk.open(this.#rondo.conversations.view(place));
      this.#talk.focus();
    }
  }

  /** The user left for somewhere else. */
  leave() {
    this.#talk.close();
    delete document.documentElement.dataset.pane;
  }

  /** A session is there, or it is another one's. */
  session() {
    $('chats-open', HTMLElement).hidden = !this.there;
    void this.load();
    if (currentView() === 'chats') this.show(this.#place);
  }

  async load() {
    const { conversations } = this.#rondo;
    if (!this.there || conversations.loaded || this.#loading) return;
    this.#loading = true;
    try {
      await conversations.load();
    } catch (err) {
      if (currentView() === 'chats') $('conv-note', HTMLElement).textContent = convWords(err);
    } finally {
      this.#loading = false;
    }
  }

  // ---- wiring ----

  #wire() {
    const { conversations } = this.#rondo;
    conversations.on('list', () => this.#drawList());
    conversations.on('removed', (id) => {
      if (this.#place !== id || currentView() !== 'chats') return;
      this.go('');
      say('You are no longer in that chat');
    });
    conversations.on('message', ({ entry, message }) => {
      if (currentView() === 'chats' && this.#place === entry.id) return;
      if (currentView() === 'call' || currentView() === 'search') return;
      say(`${message.name}: ${snippet(message, () => ({ name: '' }))}`);
    });
    $('chat-new', HTMLButtonElement).addEventListener('click', () => this.#create('direct'));
    $('topic-new', HTMLButtonElement).addEventListener('click', () => this.#create('topic'));
    $('topics-open', HTMLButtonElement).addEventListener('click', () => this.go('topics'));
    $('topics-back', HTMLButtonElement).addEventListener('click', () => this.go(''));
    const side = $('side-scroll', HTMLElement);
    side.addEventListener('scroll', () => {
      if (conversations.more && side.scrollHeight - side.scrollTop - side.clientHeight < 400) void conversations.loadMore().catch(() => {});
    });
    $('conv-list', HTMLElement).addEventListener('keydown', (e) => this.#walk(e));
    this.#wireFind();
  }

  /** From chat to chat by the arrow keys. @param {KeyboardEvent} e */
  #walk(e) {
    if (e.key !== 'ArrowDown' && e.key !== 'ArrowUp') return;
    const all = [...$('conv-list', HTMLElement).querySelectorAll('button')];
    const at = all.indexOf(/** @type {HTMLButtonElement} */ (e.target));
    e.preventDefault();
    all[at + (e.key === 'ArrowDown' ? 1 : -1)]?.focus();
  }

  /** @param {import('../sdk/types.js').ConvKind} kind */
  #create(kind) {
    if (this.#guest) {
      say('Log in to begin a chat');
      this.#o.signIn();
      return;
    }
    this.#new.open(kind);
  }

  async #join() {
    const view = this.#talk.view;
    if (!view) return;
    const join = async (/** @type {string} */ passcode) => {
      await this.#rondo.conversations.join(view.id, passcode);
      await this.#again(view.id);
    };
    try {
      if (view.info?.passcode) throw Object.assign(new Error(), { code: 'passcode' });
      await join('');
    } catch (err) {
      const { code } = /** @type {any} */ (err);
      if (code === 'passcode') this.#ask.open({ title: 'A passcode is needed', words: 'Whoever invited you knows it.', label: 'Passcode', button: 'Join', work: join });
      else if (code === 'unauthorized' || (code === 'forbidden' && this.#guest)) this.#o.signIn();
      else complain(convWords(err), code);
    }
  }

  /** Opens it anew, as a member. @param {string} id */
  async #again(id) {
    const { conversations } = this.#rondo;
    const view = conversations.view(id);
    if (view.state === 'open') view.reconnected();
    else this.show(id);
  }

  #leave() {
    const view = this.#talk.view;
    if (!view) return;
    this.#ask.open({ title: `Leave “${view.info?.name ?? ''}”?`, words: view.info?.kind === 'topic' ? 'You can come back at any time.' : 'You need a new invitation to come back.', button: 'Leave', work: () => this.#rondo.conversations.leave(view.id) });
  }

  // ---- search in all ----

  #wireFind() {
    const text = $('find-all', HTMLInputElement);
    let timer = 0;
    $('find-open', HTMLButtonElement).addEventListener('click', () => this.#openFind($('find-bar', HTMLElement).hidden));
    $('find-close', HTMLButtonElement).addEventListener('click', () => this.#openFind(false));
    text.addEventListener('keydown', (e) => {
      if (e.key === 'Escape') this.#openFind(false);
    });
    text.addEventListener('input', () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => void this.#find(text.value.trim()), 250);
    });
    $('find-bar', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      void this.#find(text.value.trim());
    });
  }

  /** @param {boolean} open */
  #openFind(open) {
    $('find-bar', HTMLElement).hidden = !open;
    $('find-open', HTMLElement).setAttribute('aria-expanded', String(open));
    $('find-all', HTMLInputElement).value = '';
    void this.#find('');
    if (open) $('find-all', HTMLInputElement).focus();
    else $('find-open', HTMLElement).focus();
  }

  /** @param {string} text */
  async #find(text) {
    const box = $('hit-list', HTMLElement);
    const { conversations } = this.#rondo;
    box.hidden = text === '';
    $('conv-list', HTMLElement).hidden = text !== '';
    if (text === '') {
      box.replaceChildren();
      this.#drawList();
      return;
    }
    try {
      const { hits } = await conversations.search({ text });
      if ($('find-all', HTMLInputElement).value.trim() !== text) return;
      const who = () => ({ name: '…' });
      box.replaceChildren(...(hits ?? []).map((h) => hitRow(h.message, nameOf(conversations.entry(h.room)), who, () => this.#toHit(h.room, h.message.seq))));
      $('conv-note', HTMLElement).textContent = hits?.length ? '' : 'Nothing found';
    } catch (err) {
      $('conv-note', HTMLElement).textContent = convWords(err);
    }
  }

  /** @param {string} room @param {number} seq */
  #toHit(room, seq) {
    this.go(room);
    const view = this.#rondo.conversations.view(room);
    if (view.state === 'open') void this.#talk.jump(seq);
    else view.once('open', () => void this.#talk.jump(seq));
  }

  // ---- drawing ----

  #drawList() {
    const { conversations } = this.#rondo;
    const n = conversations.unread;
    const badge = $('chats-count', HTMLElement);
    badge.hidden = n === 0;
    badge.textContent = n > 99 ? '99+' : String(n);
    $('chats-open', HTMLElement).setAttribute('aria-label', n ? `Chats, ${count(n, 'with something new', 'with something new')}` : 'Chats');
    if (currentView() !== 'chats') return;
    const list = $('conv-list', HTMLElement);
    const focused = document.activeElement instanceof HTMLElement && list.contains(document.activeElement) ? document.activeElement.dataset.id : undefined;
    list.replaceChildren(...conversations.list.map((e) => this.#row(e)));
    if (focused) [...list.querySelectorAll('button')].find((b) => b.dataset.id === focused)?.focus({ preventScroll: true });
    if ($('find-all', HTMLInputElement).value === '') $('conv-note', HTMLElement).textContent = conversations.list.length ? '' : !conversations.loaded ? '' : this.#guest ? 'Log in to write to people and groups. Topic rooms are open to you.' : 'Nobody here yet. Begin a chat, or find a topic room.';
  }

  /** @param {ConvEntry} e */
  #row(e) {
    const name = nameOf(e);
    const face = el('span', { class: 'face', 'aria-hidden': 'true', 'data-hue': hue(e.peer?.id ?? e.id) });
    if (e.kind === 'topic') face.append(icon('hash'));
    else drawFace(face, name);
    const here = e.kind === 'direct' && e.peer !== undefined && this.#rondo.conversations.here(e.id).has(e.peer.id);
    const holder = el('span', { class: 'conv-face', 'data-here': here }, face);
    const last = e.last;
    const mine = last?.from === e.me.id;
    const words = e.me.role === 'invited' ? 'You are invited' : last ? `${mine ? 'You: ' : e.kind === 'direct' ? '' : `${last.name}: `}${snippet(last, (id) => ({ name: id === e.me.id ? e.me.name : id === e.peer?.id ? e.peer.name : '…' }))}` : 'Nothing written yet';
    const unread = e.unread > 0 || e.me.role === 'invited';
    const b = el(
      'button',
      { type: 'button', class: 'conv', 'data-testid': 'conv', 'data-id': e.id, 'data-unread': unread, 'aria-current': e.id === this.#place ? 'true' : false },
      holder,
      el('span', { class: 'conv-body' }, el('span', { class: 'conv-head' }, el('b', { dir: 'auto' }, name), here ? el('span', { class: 'hush' }, ', here now') : '', el('time', {}, shortTime(e.active_at, Date.now()))), el('span', { class: 'conv-last' }, el('span', { dir: 'auto' }, words), ...(e.unread > 0 ? [el('span', { class: 'badge', 'data-testid': 'unread' }, e.unread > 99 ? '99+' : String(e.unread), el('span', { class: 'hush' }, ' unread'))] : []))),
    );
    b.addEventListener('click', () => this.go(e.id));
    return el('li', {}, b);
  }
}

/** @param {ConvEntry | undefined} e */
function nameOf(e) {
  if (!e) return '';
  return e.kind === 'direct' ? (e.peer?.name ?? 'Deleted account') : (e.name ?? '');
}
