import { isMember } from '../sdk/rondo.js';
import { Mistake, ServerForm } from './form.js';
import { fillLanguages, languageNames } from './landing.js';
import { openMenu } from './menu.js';
import { hue } from './message.js';
import { drawFace } from './picture.js';
import { $, el, icon, openDialog, say } from './ui.js';
import { convWords, count } from './words.js';

/** @typedef {import('../sdk/rondo.js').Conversations} Conversations */
/** @typedef {import('../sdk/rondo.js').ConversationView} ConversationView */
/** @typedef {import('../sdk/types.js').ConvCreate} ConvCreate */
/** @typedef {import('../sdk/types.js').ConvKind} ConvKind */
/** @typedef {import('../sdk/types.js').ConvPerson} ConvPerson */
/** @typedef {import('../sdk/types.js').ConvRole} ConvRole */

const roleWords = { owner: 'Owner', moderator: 'Moderator', member: '', invited: 'Invited', left: 'Left', banned: 'Banned' };

/** @param {string} text with commas */
const list = (text) => text.split(/[,;\n]/).map((t) => t.trim()).filter((t) => t);

/** @param {Element} form @param {string} kind shows what is for this kind */
function showFor(form, kind) {
  for (const e of form.querySelectorAll('[data-for]')) if (e instanceof HTMLElement) e.hidden = !e.dataset.for?.split(' ').includes(kind);
}

/** Makes a conversation. */
export class NewDialog {
  #dialog = $('conv-new', HTMLDialogElement);
  #conversations;
  #done;

  /** @param {Conversations} conversations @param {(id: string) => void} done */
  constructor(conversations, done) {
    this.#conversations = conversations;
    this.#done = done;
    fillLanguages($('conv-language', HTMLSelectElement), languageNames(), []);
    new ServerForm('conv-new-form', 'conv-new-error', () => this.#create(), convWords);
    for (const r of this.#radios()) r.addEventListener('change', () => this.#show(/** @type {ConvKind} */ (r.value)));
  }

  /** @param {ConvKind} kind @param {string} [name] */
  open(kind, name = '') {
    for (const id of ['conv-with', 'conv-name', 'conv-invite', 'conv-tags']) $(id, HTMLInputElement).value = '';
    $('conv-about', HTMLTextAreaElement).value = '';
    $('conv-name', HTMLInputElement).value = name;
    for (const r of this.#radios()) r.checked = r.value === kind;
    $('conv-new-error', HTMLElement).hidden = true;
    this.#show(kind);
    openDialog(this.#dialog);
  }

  #radios() {
    return /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('input[name="conv-kind"]'));
  }

  /** @param {ConvKind} kind */
  #show(kind) {
    showFor($('conv-new-form', HTMLElement), kind);
    $('conv-new-title', HTMLElement).textContent = { direct: 'New chat', group: 'New group', topic: 'New topic room' }[kind];
    $('conv-new-submit', HTMLElement).textContent = { direct: 'Start', group: 'Make the group', topic: 'Open the room' }[kind];
  }

  async #create() {
    const kind = /** @type {ConvKind} */ ([...this.#radios()].find((r) => r.checked)?.value ?? 'direct');
    const text = (/** @type {string} */ id) => $(id, HTMLInputElement).value.trim();
    /** @type {ConvCreate} */
    const c = { kind };
    if (kind === 'direct') {
      c.with = text('conv-with').replace(/^@/, '');
      if (!c.with) throw new Mistake('with', 'Whom do you want to write to?');
    } else {
      c.name = text('conv-name');
      if (!c.name) throw new Mistake('name', 'It needs a name.');
    }
    if (kind === 'topic') {
      c.about = $('conv-about', HTMLTextAreaElement).value.trim();
      c.language = $('conv-language', HTMLSelectElement).value || undefined;
      c.tags = list(text('conv-tags'));
      c.writers = 'everyone';
    }
    const entry = await this.#conversations.create(c);
    const failed = kind === 'group' ? await this.#invite(entry.id, list(text('conv-invite'))) : [];
    this.#dialog.close();
    this.#done(entry.id);
    if (failed.length) say(`Not invited: ${failed.join(', ')}`);
  }

  /** @param {string} id @param {string[]} names @returns {Promise<string[]>} who could not be */
  async #invite(id, names) {
    const failed = [];
    for (const name of names) {
      try {
        await this.#conversations.invite(id, name.replace(/^@/, ''));
      } catch {
        failed.push(name);
      }
    }
    return failed;
  }
}

/** Settings of a conversation, for who leads it. */
export class ConvSettings {
  #dialog = $('conv-set', HTMLDialogElement);
  #conversations;
  /** @type {import('../sdk/types.js').ConvInfo | null} */
  #info = null;

  /** @param {Conversations} conversations @param {AskDialog} ask */
  constructor(conversations, ask) {
    this.#conversations = conversations;
    fillLanguages($('set-language', HTMLSelectElement), languageNames(), []);
    new ServerForm('conv-set-form', 'conv-set-error', () => this.#save(), convWords);
    $('conv-remove', HTMLButtonElement).addEventListener('click', () => {
      const info = this.#info;
      if (!info) return;
      this.#dialog.close();
      ask.open({ title: `Delete “${info.name}”?`, words: 'All its messages go, for everyone. There is no way back.', button: 'Delete for everyone', work: () => conversations.remove(info.id) });
    });
  }

  /** @param {ConversationView} view */
  open(view) {
    const info = view.info;
    if (!info) return;
    this.#info = info;
    showFor(this.#dialog, info.kind);
    const set = (/** @type {string} */ id, /** @type {string} */ value) => ($(id, HTMLInputElement).value = value);
    set('set-name', info.name ?? '');
    $('set-about', HTMLTextAreaElement).value = info.about ?? '';
    choose('set-language', info.language ?? '');
    set('set-tags', (info.tags ?? []).join(', '));
    choose('set-writers', info.writers);
    choose('set-slow', String(info.slow_s ?? 0));
    choose('set-keep', String(info.retention_s ?? 0));
    set('set-passcode', '');
    $('set-passcode', HTMLInputElement).placeholder = info.passcode ? 'As it is; a space takes it away' : 'None';
    $('set-guests', HTMLInputElement).checked = info.guests;
    $('conv-remove', HTMLElement).hidden = view.me?.role !== 'owner';
    $('conv-set-error', HTMLElement).hidden = true;
    openDialog(this.#dialog);
  }

  async #save() {
    const info = this.#info;
    if (!info) return;
    const text = (/** @type {string} */ id) => $(id, HTMLInputElement).value.trim();
    /** @type {any} */
    const now = { name: text('set-name'), writers: $('set-writers', HTMLSelectElement).value, slow_s: Number($('set-slow', HTMLSelectElement).value), retention_s: Number($('set-keep', HTMLSelectElement).value) };
    if (info.kind === 'topic') Object.assign(now, { about: $('set-about', HTMLTextAreaElement).value.trim(), language: $('set-language', HTMLSelectElement).value, tags: list(text('set-tags')), guests: $('set-guests', HTMLInputElement).checked });
    /** @type {any} */
    const before = { name: info.name ?? '', about: info.about ?? '', language: info.language ?? '', tags: info.tags ?? [], writers: info.writers, slow_s: info.slow_s ?? 0, retention_s: info.retention_s ?? 0, guests: info.guests };
    const patch = Object.fromEntries(Object.entries(now).filter(([k, v]) => JSON.stringify(v) !== JSON.stringify(before[k])));
    const passcode = $('set-passcode', HTMLInputElement).value;
    if (passcode !== '') patch.passcode = passcode.trim();
    if (Object.keys(patch).length > 0) await this.#conversations.update(info.id, patch);
    this.#dialog.close();
    say('Saved');
  }
}

/** @param {string} id @param {string} value added where it is not offered */
function choose(id, value) {
  const select = $(id, HTMLSelectElement);
  if (![...select.options].some((o) => o.value === value)) select.append(el('option', { value }, value));
  select.value = value;
}

/** Who is in a conversation, and what one may do with them. */
export class PeopleDialog {
  #dialog = $('conv-people', HTMLDialogElement);
  #conversations;
  #you;
  /** @type {ConversationView | null} */
  #view = null;
  #next = '';

  /** @param {Conversations} conversations @param {() => string} you */
  constructor(conversations, you) {
    this.#conversations = conversations;
    this.#you = you;
    new ServerForm('invite-form', 'invite-error', () => this.#invite(), convWords);
    $('people-more', HTMLButtonElement).addEventListener('click', () => void this.#load(true));
  }

  /** @param {ConversationView} view */
  open(view) {
    this.#view = view;
    $('people-list', HTMLElement).replaceChildren();
    $('people-error', HTMLElement).hidden = $('invite-error', HTMLElement).hidden = true;
    $('invite-name', HTMLInputElement).value = '';
    $('invite-form', HTMLElement).hidden = view.info?.kind !== 'group' || !this.#leads();
    $('conv-people-title', HTMLElement).textContent = count(view.info?.members ?? 0, 'member', 'members');
    openDialog(this.#dialog);
    void this.#load(false);
  }

  #leads() {
    return this.#view?.me?.role === 'owner' || this.#view?.me?.role === 'moderator';
  }

  /** @param {boolean} more */
  async #load(more) {
    const view = this.#view;
    if (!view) return;
    try {
      const page = await this.#conversations.members(view.id, more ? this.#next : undefined);
      if (this.#view !== view) return;
      this.#next = page.next ?? '';
      const rows = (page.people ?? []).filter((p) => p.role !== 'left').map((p) => this.#row(p));
      if (more) $('people-list', HTMLElement).append(...rows);
      else $('people-list', HTMLElement).replaceChildren(...rows);
      $('people-more', HTMLElement).hidden = this.#next === '';
    } catch (err) {
      this.#complain(err);
    }
  }

  /** @param {ConvPerson} p */
  #row(p) {
    const face = el('span', { class: 'face', 'aria-hidden': 'true', 'data-hue': hue(p.id) });
    drawFace(face, p.name);
    const here = this.#view?.here.has(p.id) ?? false;
    const words = [p.id === this.#you() ? 'You' : '', roleWords[p.role], p.guest ? 'Guest' : '', here ? 'Here now' : ''].filter((w) => w).join(' · ');
    const li = el('li', { 'data-testid': 'person', 'data-id': p.id, 'data-role': p.role }, face, el('span', { class: 'people-who' }, el('b', { dir: 'auto' }, p.name), el('small', {}, words)));
    const items = this.#actions(p);
    if (items.length) {
      const b = el('button', { type: 'button', class: 'icon-button', 'aria-label': `What to do with ${p.name}`, 'aria-haspopup': 'menu', 'data-testid': 'person-more' }, icon('more'));
      b.addEventListener('click', () => openMenu(b, items));
      li.append(b);
    }
    return li;
  }

  /** @param {ConvPerson} p @returns {import('./menu.js').MenuItem[]} */
  #actions(p) {
    const mine = this.#view?.me?.role;
    if (p.id === this.#you() || !this.#leads() || p.role === 'owner' || (p.role === 'moderator' && mine !== 'owner')) return [];
    const to = (/** @type {string} */ words, /** @type {ConvRole} */ role, danger = false) => ({ words, danger, testid: `to-${role}`, run: () => void this.#set(p, role) });
    if (p.role === 'banned') return [to('Let back in', 'left')];
    if (!isMember(p)) return [to('Take the invitation back', 'left', true)];
    const items = [];
    if (mine === 'owner') items.push(p.role === 'moderator' ? to('Make a member', 'member') : to('Make a moderator', 'moderator'));
    if (mine === 'owner' && !p.guest) items.push(to('Hand over to them', 'owner'));
    return [...items, to('Remove', 'left', true), to('Ban', 'banned', true)];
  }

  /** @param {ConvPerson} p @param {ConvRole} role */
  async #set(p, role) {
    const view = this.#view;
    if (!view) return;
    try {
      await this.#conversations.setRole(view.id, p.id, role);
      say(role === 'left' ? `${p.name} was removed` : role === 'banned' ? `${p.name} was banned` : 'Done');
      await this.#load(false);
    } catch (err) {
      this.#complain(err);
    }
  }

  async #invite() {
    const view = this.#view;
    const name = $('invite-name', HTMLInputElement).value.trim().replace(/^@/, '');
    if (!view || !name) throw new Mistake('user', 'Whom do you want to invite?');
    const p = await this.#conversations.invite(view.id, name);
    $('invite-name', HTMLInputElement).value = '';
    say(`${p.name} is invited`);
    await this.#load(false);
  }

  /** @param {unknown} err */
  #complain(err) {
    const box = $('people-error', HTMLElement);
    box.textContent = convWords(err);
    box.hidden = false;
  }
}

/**
 * @typedef {object} Ask
 * @property {string} title
 * @property {string} words
 * @property {string} button
 * @property {string} [label] of a line to be filled in
 * @property {(text: string) => Promise<unknown>} work
 */

/** Asks before something that matters, or for a passcode. */
export class AskDialog {
  /** @type {Ask | null} */
  #ask = null;

  constructor() {
    new ServerForm(
      'ask-form',
      'ask-error',
      async () => {
        await this.#ask?.work($('ask-text', HTMLInputElement).value.trim());
        $('ask-dialog', HTMLDialogElement).close();
      },
      convWords,
    );
  }

  /** @param {Ask} ask */
  open(ask) {
    this.#ask = ask;
    $('ask-title', HTMLElement).textContent = ask.title;
    $('ask-words', HTMLElement).textContent = ask.words;
    $('ask-submit', HTMLElement).textContent = ask.button;
    $('ask-submit', HTMLElement).className = ask.label ? 'primary' : 'danger';
    $('ask-field', HTMLElement).hidden = !ask.label;
    $('ask-label', HTMLElement).textContent = ask.label ?? '';
    $('ask-text', HTMLInputElement).value = '';
    $('ask-error', HTMLElement).hidden = true;
    openDialog($('ask-dialog', HTMLDialogElement));
  }
}
