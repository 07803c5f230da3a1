import { showTrack } from './callview.js';
import { $, el, say } from './ui.js';
import { deviceWords, duration, reachWords, waitingWords } from './words.js';

/** @typedef {import('../sdk/types.js').Waiting} Waiting */
/** @typedef {import('../sdk/types.js').Pool} Pool */

/** The searching view: how far the search has widened and who else searches. */
export class SearchView {
  #media;
  /** @type {Waiting | null} */
  #waiting = null;
  /** @type {Pool | undefined} */
  #pool;
  /** @type {{tags: string[], languages: string[], strict: boolean}} */
  #wish = { tags: [], languages: [], strict: false };
  #begun = 0; // performance.now() minus what was waited
  #timer = 0;

  /** @param {import('./media.js').LocalMedia} media */
  constructor(media) {
    this.#media = media;
    media.on('change', () => this.#drawSelf());
  }

  /**
   * @param {Pool | undefined} pool
   * @param {import('../sdk/types.js').Wish} wish
   */
  open(pool, wish) {
    this.#pool = pool;
    this.#wish = { tags: wish.tags ?? [], languages: wish.languages ?? [], strict: wish.strict === true };
    this.#waiting = null;
    this.#begun = performance.now();
    clearInterval(this.#timer);
    this.#timer = window.setInterval(() => this.#drawReach(), 1000);
    $('waiting', HTMLElement).textContent = '';
    this.#drawSelf();
    this.#drawReach();
  }

  close() {
    clearInterval(this.#timer);
    showTrack($('search-preview', HTMLVideoElement), null);
  }

  /** @param {Waiting} w */
  update(w) {
    const before = this.#waiting?.reach;
    this.#waiting = w;
    this.#begun = performance.now() - w.waited_ms;
    const words = waitingWords(w);
    const box = $('waiting', HTMLElement);
    if (box.textContent !== words) box.textContent = words;
    this.#drawReach();
    if (before && before !== w.reach) say(`Now looking for: ${reachWords(w.reach, this.#wish)}`, { quiet: true });
  }

  #drawSelf() {
    const track = this.#media.picture;
    showTrack($('search-preview', HTMLVideoElement), track);
    const problem = $('search-problem', HTMLElement);
    problem.textContent = deviceWords(this.#media.state.audio, this.#media.state.video);
    problem.hidden = problem.textContent === '';
  }

  #drawReach() {
    const steps = this.#steps();
    const waited = performance.now() - this.#begun;
    const reach = this.#waiting?.reach ?? steps[0]?.reach;
    const now = steps.findIndex((s) => s.reach === reach);
    const items = steps.map((step, i) => {
      const words = reachWords(step.reach, this.#wish);
      const left = step.after_ms - waited;
      const hint = i > now && left > 0 ? `in ${duration(left)}` : '';
      const li = el('li', { 'data-reach': step.reach, class: i < now ? 'done' : '' }, el('span', {}, words, ' ', el('small', {}, hint)));
      if (i === now) li.setAttribute('aria-current', 'step');
      return li;
    });
    const list = $('reach', HTMLElement);
    const html = items.map((li) => li.textContent + li.className + li.ariaCurrent).join('|');
    if (list.dataset.drawn === html) return;
    list.dataset.drawn = html;
    list.replaceChildren(...items);
  }

  /** The schedule without the steps that mean nothing for this wish. */
  #steps() {
    const schedule = this.#pool?.schedule ?? [];
    const useful = schedule.filter((s) => {
      if (s.reach === 'tags') return this.#wish.tags.length > 0;
      if (s.reach === 'language') return this.#wish.languages.length > 0;
      return true;
    });
    if (this.#wish.strict) useful.splice(1); // it never widens
    // What the server says now is shown, whatever we think of it.
    const reach = this.#waiting?.reach;
    if (reach && !useful.some((s) => s.reach === reach)) return schedule.filter((s) => s.reach === reach || useful.includes(s));
    return useful;
  }
}
