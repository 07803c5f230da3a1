import { drawFace } from './picture.js';
import { $, el } from './ui.js';
import { count } from './words.js';

/** @typedef {import('../sdk/rondo.js').Room} Room */
/** @typedef {import('../sdk/types.js').ChatMessage} ChatMessage */
/** @typedef {import('../sdk/chat.js').Draft} Draft */

/** The chat panel of a call. */
export class ChatPanel {
  /** Called when a message came that nobody looked at. @type {(n: number) => void} */
  onUnread = () => {};

  #log = $('chat-log', HTMLElement);
  #scroll = $('chat-scroll', HTMLElement);
  #input = $('chat-input', HTMLTextAreaElement);
  #typing = $('typing', HTMLElement);
  /** @type {Room | null} */
  #room = null;
  /** @type {import('./picture.js').Pictures | null} */
  #pictures = null;
  /** @type {(() => void)[]} */
  #stops = [];
  /** @type {Map<string, HTMLElement>} */
  #drafts = new Map();
  #visible = false;
  #unread = 0;

  constructor() {
    $('chat-form', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      this.#send();
    });
    this.#input.addEventListener('keydown', (e) => {
      if (e.key !== 'Enter' || e.shiftKey || e.isComposing) return;
      e.preventDefault();
      this.#send();
    });
    this.#input.addEventListener('input', () => {
      this.#fit();
      this.#room?.chat.setTyping(this.#input.value.trim() !== '');
    });
  }

  /**
   * @param {Room} room
   * @param {import('./picture.js').Pictures} pictures of its members
   */
  open(room, pictures) {
    this.close();
    this.#room = room;
    this.#pictures = pictures;
    const chat = room.chat;
    this.#log.replaceChildren();
    this.#input.disabled = false;
    this.#input.placeholder = 'Write a message';
    this.#sendButton.disabled = false;
    this.#offerOlder();
    for (const m of chat.messages) this.#show(m);
    this.#stops = [
      chat.on('message', (m) => this.#arrived(m)),
      chat.on('draft', (d) => this.#draft(d)),
      chat.on('typing', (ids) => this.#types(ids)),
    ];
    this.#setUnread(0);
  }

  /** Leaves what was written in sight, and takes no more. */
  close() {
    for (const stop of this.#stops.splice(0)) stop();
    this.#drafts.clear();
    this.#room = null;
    this.#typing.textContent = '';
    this.#input.disabled = true;
    this.#input.placeholder = 'The chat has ended';
    this.#sendButton.disabled = true;
  }

  /** Forgets everything. */
  clear() {
    this.close();
    this.#log.replaceChildren();
    this.#input.value = '';
    this.#setUnread(0);
  }

  /** @param {boolean} visible */
  setVisible(visible) {
    this.#visible = visible;
    if (visible) {
      this.#setUnread(0);
      this.#down(true);
    }
  }

  focus() {
    this.#input.focus();
  }

  /** @param {string} id of a member who looks different now */
  drawPicture(id) {
    for (const face of this.#log.querySelectorAll('.face')) {
      if (face instanceof HTMLElement && face.dataset.of === id) drawFace(face, face.dataset.name ?? '', this.#pictures?.of(id));
    }
  }

  /** @param {string} text something that happened, between the messages */
  note(text) {
    this.#log.append(el('li', { class: 'event' }, text));
    this.#down(false);
  }

  get #sendButton() {
    return $('chat-send', HTMLButtonElement);
  }

  #send() {
    const text = this.#input.value.replace(/\s+$/, '');
    const room = this.#room;
    if (!room || text.trim() === '') return;
    this.#input.value = '';
    this.#fit();
    room.chat.send(text).catch(() => {}); // the draft shows it
  }

  /** Grows with its text where the browser does not do it itself. */
  #fit() {
    if (CSS.supports('field-sizing', 'content')) return;
    this.#input.style.height = 'auto';
    this.#input.style.height = `${Math.min(132, this.#input.scrollHeight + 3)}px`;
  }

  /** @param {ChatMessage} m */
  #arrived(m) {
    const own = m.from === this.#room?.you;
    const stay = this.#atEnd() || own;
    this.#show(m);
    if (stay) this.#down(true);
    if (!own && !this.#visible) this.#setUnread(this.#unread + 1);
  }

  /** @param {ChatMessage} m */
  #show(m) {
    this.#log.append(this.#entry(m));
    for (const li of this.#drafts.values()) this.#log.append(li); // ours on their way stay last
  }

  /**
   * @param {ChatMessage} m
   * @returns {HTMLElement}
   */
  #entry(m) {
    const own = m.from === this.#room?.you;
    if (own) {
      this.#drafts.get(m.cid)?.remove();
      this.#drafts.delete(m.cid);
    }
    const who = own ? el('span', { class: 'hush' }, 'You: ') : this.#room?.kind === 'named' ? this.#writer(m) : el('span', { class: 'hush' }, `${m.name}: `);
    return el('li', { 'data-off': String(m.off), 'data-own': own, title: new Date(m.at).toLocaleTimeString() }, who, el('span', { class: 'text' }, m.text));
  }

  /**
   * Who wrote, where there are many.
   * @param {ChatMessage} m
   */
  #writer(m) {
    const face = el('span', { class: 'face', 'aria-hidden': 'true', 'data-of': m.from, 'data-name': m.name });
    drawFace(face, m.name, this.#pictures?.of(m.from));
    return el('span', { class: 'who' }, face, m.name);
  }

  /** @param {Draft} d */
  #draft(d) {
    const chat = this.#room?.chat;
    if (!chat?.drafts.has(d.cid)) return;
    let li = this.#drafts.get(d.cid);
    if (!li) {
      li = el('li', { 'data-own': true, 'data-cid': d.cid });
      this.#drafts.set(d.cid, li);
      this.#log.append(li);
    }
    li.dataset.state = d.state;
    li.replaceChildren(el('span', { class: 'hush' }, 'You: '), el('span', { class: 'text' }, d.text));
    if (d.state === 'failed') {
      const retry = el('button', { type: 'button' }, 'Send again');
      retry.addEventListener('click', () => chat.retry(d.cid).catch(() => {}));
      const why = d.error?.code === 'too_large' ? 'Too long.' : d.error?.code === 'bad_request' ? d.error.message : 'Not sent.';
      li.append(el('span', { class: 'failed' }, why, retry));
    }
    this.#down(true);
  }

  /** @param {string[]} ids */
  #types(ids) {
    const names = ids.map((id) => this.#room?.peers.get(id)?.name).filter((n) => n !== undefined);
    this.#typing.textContent = names.length === 0 ? '' : names.length === 1 ? `${names[0]} is writing …` : `${count(names.length, 'person is', 'people are')} writing …`;
  }

  #offerOlder() {
    if (!this.#room?.chat.more) return;
    const button = el('button', { type: 'button', class: 'older' }, 'Show earlier messages');
    const li = el('li', { class: 'event' }, button);
    button.addEventListener('click', async () => {
      const chat = this.#room?.chat;
      if (!chat) return;
      button.disabled = true;
      const list = await chat.older().catch(() => null);
      button.disabled = false;
      if (!list) return;
      li.after(...list.map((m) => this.#entry(m)));
      if (!chat.more) li.remove();
    });
    this.#log.prepend(li);
  }

  #atEnd() {
    return this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < 80;
  }

  /** @param {boolean} always */
  #down(always) {
    if (always || this.#atEnd()) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  /** @param {number} n */
  #setUnread(n) {
    this.#unread = n;
    this.onUnread(n);
  }
}
