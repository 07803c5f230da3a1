import { Chips } from './chips.js';
import { ownLanguages } from './prefs.js';
import { $, el } from './ui.js';
import { count } from './words.js';

/** @typedef {import('../sdk/rondo.js').Rondo} Rondo */
/** @typedef {import('../sdk/types.js').Mode} Mode */
/** @typedef {import('../sdk/types.js').Pool} Pool */
/** @typedef {import('../sdk/types.js').Wish} Wish */
/** @typedef {import('./prefs.js').Prefs} Prefs */

/** Languages offered by name; whatever the browser speaks is added. */
const commonLanguages = 'ar bn cs da de el en es fa fi fr he hi hu id it ja ko ms nl no pl pt ro ru sv sw ta th tr uk ur vi zh'.split(' ');

const mostTags = 3;
const modeWords = { video: 'video', audio: 'voice', text: 'text' };

/** The landing form: what somebody looks for. */
export class Landing {
  #rondo;
  #prefs;
  #save;
  #tags;
  #languages;
  /** Whose profile fills what was not chosen here. @type {import('../sdk/rondo.js').AccountUser | null} */
  #user = null;

  /**
   * @param {object} options
   * @param {Rondo} options.rondo
   * @param {Prefs} options.prefs
   * @param {() => void} options.save
   */
  constructor({ rondo, prefs, save }) {
    this.#rondo = rondo;
    this.#prefs = prefs;
    this.#save = save;
    const names = languageNames();
    this.#tags = new Chips({
      box: $('tag-chips', HTMLElement),
      entry: $('tags', HTMLInputElement),
      kind: 'tag',
      max: mostTags,
      changed: (list) => this.#keep({ tags: list }),
    });
    this.#languages = new Chips({
      box: $('language-chips', HTMLElement),
      entry: $('languages', HTMLSelectElement),
      kind: 'language',
      max: 2,
      label: (code) => names(code),
      changed: (list) => this.#keep({ languages: list }),
    });
    fillLanguages($('languages', HTMLSelectElement), names, this.languages);
    this.#show();
    this.#wire();
  }

  /** Takes everything that is written in the form. */
  commit() {
    this.#tags.commit();
    this.#keep({ name: $('name', HTMLInputElement).value.trim() });
  }

  /** What the server says it has. */
  poolsChanged() {
    const pools = this.#pools();
    const pool = $('pool', HTMLSelectElement);
    $('pool-field', HTMLElement).hidden = pools.length < 2;
    pool.replaceChildren(...pools.map((p) => el('option', { value: p.name }, p.name)));
    pool.value = this.#pool()?.name ?? '';
    for (const mode of /** @type {const} */ (['video', 'audio', 'text'])) {
      const radio = this.#radio(mode);
      radio.disabled = this.#rondo.pools.length > 0 && !this.#rondo.pools.some((p) => p.mode === mode);
    }
    this.#drawTraits();
  }

  /** @returns {Wish} */
  wish() {
    const p = this.#prefs;
    const pool = this.#pool();
    const traits = pool?.traits ?? [];
    /** @type {Wish} */
    const wish = { tags: this.tags, languages: this.languages, strict: p.strict, relay: p.relay };
    if (pool) wish.pool = pool.name;
    if (traits.includes(p.trait)) wish.trait = p.trait;
    const want = p.want.filter((t) => traits.includes(t));
    if (want.length) wish.want = want;
    return wish;
  }

  get tags() {
    return this.#prefs.tags ?? (this.#user?.interests ?? []).slice(0, mostTags);
  }

  get languages() {
    return this.#prefs.languages ?? (this.#user?.languages.length ? this.#user.languages : ownLanguages(navigator.languages));
  }

  /**
   * Fills interests and languages with those of the profile, until others are
   * chosen here; a profile that changes counts again.
   *
   * @param {import('../sdk/rondo.js').AccountUser | null} user
   */
  follow(user) {
    const before = this.#user;
    this.#user = user;
    if (before && before.id === user?.id) {
      if (before.interests.join() !== user.interests.join()) this.#prefs.tags = null;
      if (before.languages.join() !== user.languages.join()) this.#prefs.languages = null;
      this.#save();
    }
    this.#tags.set(this.tags);
    this.#languages.set(this.languages);
    this.#drawChosen();
  }

  /**
   * @param {import('../sdk/types.js').Stats | null} stats
   */
  counts(stats) {
    const box = $('live-counts', HTMLElement);
    if (!stats) {
      box.textContent = '';
      return;
    }
    const searching = stats.pools.filter((p) => this.#rondo.pools.find((q) => q.name === p.name)?.mode === this.#prefs.mode).reduce((n, p) => n + p.waiting, 0);
    const others = Math.max(0, stats.online - 1);
    const here = others ? `${count(others, 'other person', 'others')} here now` : 'You are the first one here right now';
    box.textContent = searching ? `${here}, ${searching} looking for a ${modeWords[this.#prefs.mode]} call` : here;
  }

  /** @param {string} words empty: all is well */
  nameError(words) {
    const box = $('name-error', HTMLElement);
    const input = $('name', HTMLInputElement);
    box.textContent = words;
    box.hidden = words === '';
    input.setAttribute('aria-invalid', String(words !== ''));
    if (words) input.focus();
  }

  // ---- inside ----

  /** @param {Partial<Prefs>} change */
  #keep(change) {
    Object.assign(this.#prefs, change);
    this.#save();
    this.#drawChosen();
  }

  #show() {
    const p = this.#prefs;
    $('name', HTMLInputElement).value = p.name;
    this.#radio(p.mode).checked = true;
    $('strict', HTMLInputElement).checked = p.strict;
    $('relay', HTMLInputElement).checked = p.relay;
    $('save-data', HTMLInputElement).checked = p.low;
    this.#tags.set(this.tags);
    this.#languages.set(this.languages);
    this.#drawChosen();
  }

  #wire() {
    const name = $('name', HTMLInputElement);
    name.addEventListener('change', () => this.#keep({ name: name.value.trim() }));
    name.addEventListener('input', () => this.nameError(''));
    for (const mode of /** @type {const} */ (['video', 'audio', 'text'])) {
      this.#radio(mode).addEventListener('change', () => {
        this.#keep({ mode });
        this.poolsChanged();
      });
    }
    /** @type {[string, 'strict' | 'relay' | 'low'][]} */
    const switches = [['strict', 'strict'], ['relay', 'relay'], ['save-data', 'low']];
    for (const [id, key] of switches) {
      const box = $(id, HTMLInputElement);
      box.addEventListener('change', () => this.#keep({ [key]: box.checked }));
    }
    const pool = $('pool', HTMLSelectElement);
    pool.addEventListener('change', () => {
      this.#keep({ pool: pool.value });
      this.#drawTraits();
    });
    const trait = $('trait', HTMLSelectElement);
    trait.addEventListener('change', () => this.#keep({ trait: trait.value }));
  }

  /** @param {Mode} mode */
  #radio(mode) {
    return /** @type {HTMLInputElement} */ (document.querySelector(`input[name="mode"][value="${mode}"]`));
  }

  /** @returns {Pool[]} those of the chosen mode */
  #pools() {
    return this.#rondo.pools.filter((p) => p.mode === this.#prefs.mode);
  }

  #pool() {
    const pools = this.#pools();
    return pools.find((p) => p.name === this.#prefs.pool) ?? pools[0];
  }

  #drawTraits() {
    const traits = this.#pool()?.traits ?? [];
    $('trait-field', HTMLElement).hidden = traits.length === 0;
    $('trait', HTMLSelectElement).replaceChildren(el('option', { value: '' }, 'I’d rather not say'), ...traits.map((t) => el('option', { value: t }, t)));
    $('trait', HTMLSelectElement).value = traits.includes(this.#prefs.trait) ? this.#prefs.trait : '';
    $('wants', HTMLElement).replaceChildren(...traits.map((t) => this.#want(t)));
  }

  /** @param {string} trait */
  #want(trait) {
    const box = el('input', { type: 'checkbox', checked: this.#prefs.want.includes(trait) });
    box.addEventListener('change', () => {
      const others = this.#prefs.want.filter((t) => t !== trait);
      this.#keep({ want: box.checked ? [...others, trait] : others });
    });
    return el('label', {}, box, trait);
  }

  #drawChosen() {
    const p = this.#prefs;
    const names = languageNames();
    const words = this.languages.map(names);
    if (p.strict) words.push('strict');
    if (p.relay) words.push('address hidden');
    if (p.low) words.push('save data');
    $('options-chosen', HTMLElement).textContent = words.join(', ');
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {(code: string) => string} names
 * @param {string[]} more than the common ones and the browser's
 */
export function fillLanguages(select, names, more) {
  const codes = [...new Set([...commonLanguages, ...ownLanguages(navigator.languages), ...more])];
  const options = codes.map((code) => ({ code, name: names(code) })).sort((a, b) => a.name.localeCompare(b.name));
  select.append(...options.map(({ code, name }) => el('option', { value: code }, name)));
}

/** @returns {(code: string) => string} */
export function languageNames() {
  /** @type {Intl.DisplayNames | null} */
  let names = null;
  try {
    names = new Intl.DisplayNames(['en'], { type: 'language' });
  } catch {
    // the codes will do
  }
  return (code) => {
    try {
      return names?.of(code) ?? code;
    } catch {
      return code;
    }
  };
}
