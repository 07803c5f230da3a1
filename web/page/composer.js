import { Attachments } from './attach.js';
import { Mentions } from './mention.js';
import { openEmoji } from './menu.js';
import { snippet } from './message.js';
import { $, complain, say } from './ui.js';
import { convWords } from './words.js';

/** @typedef {import('../sdk/rondo.js').ConversationView} ConversationView */
/** @typedef {import('../sdk/types.js').ConvMessage} ConvMessage */

/** What was begun and not sent, of a conversation. @typedef {{text: string, reply: ConvMessage | null}} Unsent */

/** Where one writes: a new message, an answer, or what a message shall say instead. */
export class Composer {
  /** @type {(id: string) => {name: string, you: boolean}} */
  who = (id) => ({ name: id, you: false });
  /** Arrow up in an empty line. @type {() => ConvMessage | undefined} */
  lastOwn = () => undefined;
  /** @type {() => void} */
  onSent = () => {};
  /** The thread that is open. @type {() => number} */
  thread = () => 0;

  #form = $('composer', HTMLFormElement);
  #input = $('talk-input', HTMLTextAreaElement);
  #file = $('attach-file', HTMLInputElement);
  #files = new Attachments($('attached', HTMLElement));
  #mentions = new Mentions(this.#input, $('mention-list', HTMLElement));
  /** @type {ConversationView | null} */
  #view = null;
  /** @type {ConvMessage | null} */
  #reply = null;
  /** @type {ConvMessage | null} */
  #edit = null;
  /** @type {Map<string, Unsent>} */
  #unsent = new Map();
  #upload;

  /** @param {(room: string, ...args: Parameters<import('./attach.js').Upload>) => ReturnType<import('./attach.js').Upload>} upload */
  constructor(upload) {
    this.#upload = upload;
    this.#form.addEventListener('submit', (e) => {
      e.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener('keydown', (e) => this.#key(e));
    this.#input.addEventListener('input', () => {
      this.#fit();
      if (!this.#edit) this.#view?.setTyping(this.#input.value.trim() !== '');
      this.#draw();
    });
    this.#input.addEventListener('paste', (e) => {
      const files = [...(e.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      e.preventDefault();
      this.attach(files);
    });
    $('attach', HTMLButtonElement).addEventListener('click', () => this.#file.click());
    this.#file.addEventListener('change', () => {
      this.attach([...(this.#file.files ?? [])]);
      this.#file.value = '';
    });
    $('talk-emoji', HTMLButtonElement).addEventListener('click', (e) => openEmoji(/** @type {HTMLElement} */ (e.currentTarget), (emoji) => this.#insert(emoji)));
    $('composing-close', HTMLButtonElement).addEventListener('click', () => this.cancel());
    this.#files.onChange = () => this.#draw();
    this.#mentions.people = () => this.#people();
  }

  /** @param {ConversationView} view */
  open(view) {
    this.close();
    this.#view = view;
    const kept = this.#unsent.get(view.id);
    this.#input.value = kept?.text ?? '';
    this.#reply = kept?.reply ?? null;
    this.#fit();
    this.#draw();
  }

  close() {
    const view = this.#view;
    if (!view) return;
    if (this.#edit) this.cancel();
    if (this.#input.value.trim() || this.#reply) this.#unsent.set(view.id, { text: this.#input.value, reply: this.#reply });
    else this.#unsent.delete(view.id);
    this.#files.clear();
    this.#mentions.clear();
    this.#reply = null;
    this.#view = null;
  }

  /** Files that were pasted, dropped, or chosen. @param {File[]} files */
  attach(files) {
    const view = this.#view;
    if (!view || this.#edit) return;
    const over = this.#files.add(files, (file, options) => this.#upload(view.id, file, options));
    if (over) say('Ten files are the most for one message');
    this.focus();
  }

  /** @param {ConvMessage} m */
  reply(m) {
    if (this.#edit) this.cancel();
    this.#reply = m;
    this.#draw();
    this.focus();
  }

  /** @param {ConvMessage} m */
  edit(m) {
    this.#reply = null;
    this.#edit = m;
    this.#input.value = this.#mentions.decode(m.text, this.who);
    this.#fit();
    this.#draw();
    this.focus();
  }

  cancel() {
    if (this.#edit) this.#input.value = '';
    this.#edit = this.#reply = null;
    this.#mentions.clear();
    this.#fit();
    this.#draw();
  }

  focus() {
    this.#input.focus();
  }

  // ---- inside ----

  #submit() {
    const view = this.#view;
    const text = this.#mentions.encode(this.#input.value.replace(/\s+$/, '').replace(/^\n+/, ''));
    if (!view) return;
    if (this.#edit) {
      void this.#save(view, this.#edit, text);
      return;
    }
    if ((text.trim() === '' && this.#files.empty) || !this.#files.ready) {
      if (!this.#files.ready) say('The files are still on their way');
      return;
    }
    const thread = this.thread();
    const replyTo = this.#reply?.seq ?? (thread || undefined);
    const files = this.#files.take();
    this.#input.value = '';
    this.#reply = null;
    this.#mentions.clear();
    this.#fit();
    this.#draw();
    view.send(text, { replyTo, thread: thread > 0, files }).catch(() => {}); // the draft shows it
    this.onSent();
  }

  /** @param {ConversationView} view @param {ConvMessage} m @param {string} text */
  async #save(view, m, text) {
    if (text.trim() === '' && !m.files?.length) return;
    this.cancel();
    if (text === m.text) return;
    try {
      await view.edit(m.seq, text);
      say('Changed', { quiet: true });
    } catch (err) {
      complain(convWords(err), 'edit');
      if (this.#view === view && this.#input.value === '') {
        this.edit(m);
        this.#input.value = this.#mentions.decode(text, this.who);
      }
    }
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    if (e.isComposing || this.#mentions.key(e)) return;
    if (e.key === 'Enter' && !e.shiftKey) {
      if (matchMedia('(pointer: coarse)').matches) return; // there, Enter is a new line and the button sends
      e.preventDefault();
      this.#submit();
    } else if (e.key === 'Escape' && (this.#edit || this.#reply)) {
      e.preventDefault();
      e.stopPropagation();
      this.cancel();
    } else if (e.key === 'ArrowUp' && this.#input.value === '' && !this.#reply) {
      const m = this.lastOwn();
      if (!m) return;
      e.preventDefault();
      this.edit(m);
    }
  }

  /** @param {string} text */
  #insert(text) {
    const { selectionStart: a, selectionEnd: b } = this.#input;
    this.#input.setRangeText(text, a, b, 'end');
    this.focus();
    this.#fit();
    this.#draw();
  }

  #people() {
    const view = this.#view;
    if (!view) return [];
    /** @type {Map<string, string>} */
    const all = new Map();
    for (const p of view.people.values()) all.set(p.id, p.name);
    for (const m of view.messages) if (m.from) all.set(m.from, m.name);
    return [...all].map(([id, name]) => ({ id, name })).filter((p) => p.name && !this.who(p.id).you);
  }

  #draw() {
    const about = this.#edit ?? this.#reply;
    $('composing', HTMLElement).hidden = about === null;
    $('composing-words', HTMLElement).textContent = this.#edit ? 'Editing a message' : about ? `Answer to ${this.who(about.from).you ? 'yourself' : about.name}: ${snippet(about, this.who)}` : '';
    this.#form.classList.toggle('editing', this.#edit !== null);
    const can = this.#input.value.trim() !== '' || (!this.#files.empty && this.#files.ready);
    $('talk-send', HTMLButtonElement).classList.toggle('idle', !can);
    $('talk-send', HTMLButtonElement).setAttribute('aria-label', this.#edit ? 'Save' : 'Send');
  }

  /** Grows with its text where the browser does not do it itself. */
  #fit() {
    if (CSS.supports('field-sizing', 'content')) return;
    this.#input.style.height = 'auto';
    this.#input.style.height = `${Math.min(160, this.#input.scrollHeight + 3)}px`;
  }
}
