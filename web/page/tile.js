import { drawFace } from './picture.js';
import { el, icon } from './ui.js';
import { failWords } from './words.js';

/** @typedef {import('../sdk/types.js').MediaState} MediaState */
/** @typedef {import('../sdk/types.js').FailReason} FailReason */
/** @typedef {import('../sdk/link.js').LinkState} LinkState */
/** @typedef {import('../sdk/stats.js').Quality} Quality */

const barWords = ['No connection', 'Poor connection', 'Weak connection', 'Good connection', 'Very good connection'];

/** One other person on the stage. */
export class Tile {
  #name;
  #mode;
  #onRetry;
  #away = false;
  #cut = false;
  /** @type {LinkState} */
  #state = 'connecting';
  /** @type {FailReason | ''} */
  #reason = '';
  /** @type {MediaState} */
  #media = { audio: true, video: true, screen: false };
  #frames = false;
  #picture = '';

  #avatar = el('div', { class: 'avatar', 'aria-hidden': 'true' });
  #label = el('span', { class: 'tile-name' });
  #muted = icon('mic-off');
  #quality = el('span', { class: 'quality', 'data-testid': 'quality', 'data-bars': '0', role: 'img', 'aria-label': 'Connection quality unknown' }, el('i'), el('i'), el('i'), el('i'));
  #box = el('div', { class: 'tile-state', 'data-testid': 'peer-state' });

  /**
   * @param {object} options
   * @param {string} options.id member id
   * @param {string} options.name
   * @param {import('../sdk/types.js').Mode} options.mode
   * @param {(options: {relay: boolean}) => void} options.onRetry
   */
  constructor({ id, name, mode, onRetry }) {
    this.#name = name;
    this.#mode = mode;
    this.#onRetry = onRetry;
    this.video = el('video', { 'data-testid': 'remote-video', autoplay: true, playsinline: true, tabindex: '-1' });
    this.element = el('div', { class: 'tile no-video', 'data-peer': id, role: 'group' }, this.video, this.#avatar, this.#box, el('div', { class: 'tile-foot' }, this.#label, this.#muted, this.#quality));
    this.video.addEventListener('playing', () => {
      this.#frames = true;
      this.#draw();
    });
    this.#draw();
  }

  get name() {
    return this.#name;
  }
  set name(name) {
    this.#name = name;
    this.#draw();
  }

  /** @param {string} picture a data: URL; '': none */
  set picture(picture) {
    this.#picture = picture;
    this.#draw();
  }

  get state() {
    return this.#state;
  }

  /** @param {boolean} away their way to the server is broken; media may well go on */
  setAway(away) {
    this.#away = away;
    this.#draw();
  }

  /** @param {boolean} cut our own way to the server is broken */
  setCut(cut) {
    this.#cut = cut;
    this.#draw();
  }

  /**
   * @param {LinkState} state
   * @param {FailReason | ''} reason
   */
  setState(state, reason) {
    this.#state = state;
    this.#reason = reason;
    if (state === 'connecting') this.#frames = false;
    this.#draw();
  }

  /** @param {MediaState} media */
  setMedia(media) {
    this.#media = media;
    this.#draw();
  }

  /** @param {Quality} q */
  setQuality(q) {
    this.#quality.dataset.bars = String(q.bars);
    const rtt = Number.isFinite(q.rtt) ? `, ${Math.round(q.rtt)} ms` : '';
    const words = `${barWords[q.bars]}${rtt}${q.relayed ? ', through the relay' : ''}`;
    this.#quality.setAttribute('aria-label', words);
    this.#quality.title = words;
  }

  /**
   * Plays the stream; a browser that wants a touch first gets a button.
   * @param {MediaStream} stream
   */
  play(stream) {
    if (this.video.srcObject !== stream) this.video.srcObject = stream;
    this.video.play().catch((err) => {
      if (err?.name === 'NotAllowedError') this.#askForTouch();
    });
  }

  remove() {
    this.video.srcObject = null;
    this.element.remove();
  }

  #askForTouch() {
    if (this.element.querySelector('.hear')) return;
    const button = el('button', { type: 'button', class: 'hear' }, 'Play sound and picture');
    button.addEventListener('click', () => {
      button.remove();
      void this.video.play().catch(() => {});
    });
    this.element.append(button);
  }

  #draw() {
    const showsVideo = this.#mode === 'video' && this.#media.video && this.#frames && this.#state !== 'failed';
    this.element.classList.toggle('no-video', !showsVideo);
    this.element.classList.toggle('failed', this.#state === 'failed');
    this.element.classList.toggle('stale', this.#state === 'reconnecting'); // the picture stands
    this.element.classList.toggle('screen', this.#media.screen);
    this.element.setAttribute('aria-label', this.#name);
    this.video.setAttribute('aria-label', `Picture of ${this.#name}`);
    drawFace(this.#avatar, this.#name, this.#picture);
    this.#label.textContent = this.#name;
    this.#muted.classList.toggle('hidden', this.#media.audio || this.#state !== 'connected');
    if (this.#media.audio) this.#muted.removeAttribute('aria-label');
    this.#drawState(showsVideo);
  }

  /** @param {boolean} showsVideo */
  #drawState(showsVideo) {
    const box = this.#box;
    if (this.#state === 'failed') {
      this.#drawFailure();
      return;
    }
    let words = '';
    if (this.#away) words = `${this.#name} is reconnecting …`;
    else if (this.#state === 'connecting') words = 'Connecting …';
    else if (this.#state === 'reconnecting') words = this.#cut ? 'You lost your connection. Reconnecting …' : 'Reconnecting …';
    else if (!this.#media.audio && !showsVideo && this.#mode !== 'text') words = `${this.#name} is muted`;
    box.classList.add('small');
    box.hidden = words === '';
    if (box.textContent !== words) box.replaceChildren(words);
  }

  #drawFailure() {
    const { title, words, relay } = failWords(this.#reason, this.#name);
    const again = el('button', { type: 'button', 'data-testid': 'retry' }, 'Try again');
    again.addEventListener('click', () => this.#onRetry({ relay: false }));
    const actions = el('div', { class: 'tile-actions' }, again);
    if (relay) {
      const through = el('button', { type: 'button', 'data-testid': 'retry-relay' }, 'Try the relay');
      through.addEventListener('click', () => this.#onRetry({ relay: true }));
      actions.append(through);
    }
    this.#box.classList.remove('small');
    this.#box.hidden = false;
    this.#box.dataset.reason = this.#reason;
    this.#box.replaceChildren(el('b', {}, title), el('p', {}, words), actions);
  }
}
