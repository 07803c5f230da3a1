import { showTrack } from './callview.js';
import { DevicePanel } from './devices.js';
import { $ } from './ui.js';

/** @typedef {import('../sdk/types.js').Mode} Mode */

/** The device check before a call. */
export class CheckView {
  #media;
  #panel;
  /** @type {(() => void) | null} */
  #stop = null;
  /** @type {Mode} */
  #mode = 'video';

  /**
   * @param {object} options
   * @param {import('./media.js').LocalMedia} options.media
   * @param {import('./prefs.js').Prefs} options.prefs
   * @param {() => void} options.save
   */
  constructor(options) {
    this.#media = options.media;
    this.#panel = new DevicePanel({ prefix: 'check', ...options });
  }

  /**
   * @param {Mode} mode video, or audio only
   * @param {string} go what the button says
   */
  async open(mode, go) {
    this.close();
    this.#mode = mode;
    $('check-start', HTMLElement).textContent = go;
    $('check-frame', HTMLElement).classList.toggle('voice', mode !== 'video');
    $('check-words', HTMLElement).textContent = `Your browser asks whether this page may use your ${mode === 'video' ? 'camera and microphone' : 'microphone'}. Please allow it.`;
    this.#stop = this.#media.on('change', () => this.#draw());
    await this.#media.use(mode);
    this.#panel.open({ audio: true, video: mode === 'video' });
    this.#draw();
  }

  close() {
    this.#stop?.();
    this.#stop = null;
    this.#panel.close();
    showTrack($('check-preview', HTMLVideoElement), null);
  }

  #draw() {
    const media = this.#media;
    const voice = this.#mode !== 'video';
    showTrack($('check-preview', HTMLVideoElement), voice ? null : media.picture);
    $('check-words', HTMLElement).textContent = voice ? 'Voice only. No picture is taken.' : '';
  }
}

/** Whether the browser will give the devices without asking. */
export class Permissions {
  /** @type {Map<string, PermissionStatus>} */
  #known = new Map();
  #asked = Promise.all(['camera', 'microphone'].map((name) => this.#ask(name)));

  /**
   * @param {Mode} mode
   * @returns {boolean | Promise<boolean>} at once where the browser has told before
   */
  allow(mode) {
    const names = mode === 'video' ? ['camera', 'microphone'] : mode === 'audio' ? ['microphone'] : [];
    const all = () => names.every((name) => this.#known.get(name)?.state === 'granted');
    return all() || this.#asked.then(all);
  }

  /** @param {string} name */
  async #ask(name) {
    try {
      this.#known.set(name, await navigator.permissions.query({ name: /** @type {PermissionName} */ (name) }));
    } catch {
      // not every browser tells
    }
  }
}
