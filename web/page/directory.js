import { fillLanguages, languageNames } from './landing.js';
import { $, el, icon } from './ui.js';
import { ago, convWords, count } from './words.js';

/** @typedef {import('../sdk/rondo.js').Conversations} Conversations */
/** @typedef {import('../sdk/types.js').ConvInfo} ConvInfo */

/** The directory of topic rooms. */
export class Directory {
  #conversations;
  #open;
  #names = languageNames();
  #turn = 0;
  #next = '';
  #tag = '';
  #busy = false;

  /**
   * @param {Conversations} conversations
   * @param {(id: string) => void} open
   */
  constructor(conversations, open) {
    this.#conversations = conversations;
    this.#open = open;
    fillLanguages($('topics-language', HTMLSelectElement), this.#names, []);
    let timer = 0;
    $('topics-text', HTMLInputElement).addEventListener('input', () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => void this.load(), 250);
    });
    $('topics-language', HTMLSelectElement).addEventListener('change', () => void this.load());
    $('topics-form', HTMLFormElement).addEventListener('submit', (e) => {
      e.preventDefault();
      void this.load();
    });
    const scroll = $('topics-scroll', HTMLElement);
    scroll.addEventListener('scroll', () => {
      if (this.#next && scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 600) void this.#more();
    });
  }

  /** @param {string} [tag] only topics with it */
  async load(tag = '') {
    const turn = ++this.#turn;
    this.#tag = tag;
    try {
      const page = await this.#conversations.directory(this.#query());
      if (turn !== this.#turn) return;
      this.#next = page.next ?? '';
      $('topic-list', HTMLElement).replaceChildren(...this.#tagRow(), ...(page.topics ?? []).map((c) => this.#card(c)));
      this.#note(page.topics?.length ? '' : 'No topic like that yet. Begin one!');
    } catch (err) {
      if (turn === this.#turn) this.#note(convWords(err));
    }
  }

  async #more() {
    if (this.#busy) return;
    this.#busy = true;
    const turn = this.#turn;
    try {
      const page = await this.#conversations.directory({ ...this.#query(), cursor: this.#next });
      if (turn !== this.#turn) return;
      this.#next = page.next ?? '';
      $('topic-list', HTMLElement).append(...(page.topics ?? []).map((c) => this.#card(c)));
    } catch {
      // asked for again when somebody scrolls
    } finally {
      this.#busy = false;
    }
  }

  #query() {
    return { text: $('topics-text', HTMLInputElement).value.trim(), language: $('topics-language', HTMLSelectElement).value, tag: this.#tag };
  }

  #tagRow() {
    if (!this.#tag) return [];
    const b = el('button', { type: 'button', class: 'secondary' }, `Tag: ${this.#tag}`, icon('close'));
    b.addEventListener('click', () => void this.load());
    return [el('li', { class: 'tag-row' }, b)];
  }

  /** @param {string} words */
  #note(words) {
    $('topics-note', HTMLElement).textContent = words;
  }

  /** @param {ConvInfo} c */
  #card(c) {
    const b = el('button', { type: 'button', class: 'topic-open', 'data-testid': 'topic', 'data-id': c.id }, el('span', { dir: 'auto' }, c.name ?? ''));
    b.addEventListener('click', () => this.#open(c.id));
    const facts = [count(c.members, 'member', 'members'), c.language ? this.#names(c.language) : '', `active ${ago(c.active_at, Date.now())}`].filter((w) => w);
    const li = el('li', { class: 'topic-card' }, el('h2', {}, b));
    if (c.about) li.append(el('p', { class: 'topic-about', dir: 'auto' }, c.about));
    const foot = el('p', { class: 'topic-facts' }, facts.join(' · '));
    if (c.tags?.length) {
      const tags = el('p', { class: 'tags' });
      for (const t of c.tags) {
        const tag = el('button', { type: 'button', class: 'tag', dir: 'auto', 'aria-label': `Topics with the tag ${t}` }, t);
        tag.addEventListener('click', () => void this.load(t));
        tags.append(tag);
      }
      li.append(tags);
    }
    li.append(foot);
    return li;
  }
}
