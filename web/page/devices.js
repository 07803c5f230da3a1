import { el } from './ui.js';
import { levelMeter, testSound } from './media.js';
import { deviceWords } from './words.js';

/**
 * The three device lists with level meter and test sound; the device check
 * and the call's settings both are made of it.
 *
 * @typedef {object} PanelOptions
 * @property {string} prefix of the elements' ids
 * @property {import('./media.js').LocalMedia} media
 * @property {import('./prefs.js').Prefs} prefs
 * @property {() => void} save
 * @property {() => void} [speakerChanged]
 */
export class DevicePanel {
  #o;
  /** @type {(() => void) | null} */
  #stopMeter = null;
  /** @type {(() => void) | null} */
  #stopMedia = null;

  /** @param {PanelOptions} options */
  constructor(options) {
    this.#o = options;
    this.#select('camera').addEventListener('change', () => this.#chose('camera'));
    this.#select('microphone').addEventListener('change', () => this.#chose('microphone'));
    this.#select('speaker').addEventListener('change', () => this.#chose('speaker'));
    this.#element('test-sound').addEventListener('click', () => void testSound(options.prefs.speaker));
  }

  /**
   * Begins to show and measure.
   * @param {{audio: boolean, video: boolean}} use
   */
  open(use) {
    this.close();
    const { media } = this.#o;
    for (const [kind, name] of /** @type {const} */ ([['video', 'camera'], ['audio', 'microphone'], ['audio', 'speaker']])) {
      const field = this.#select(name).closest('.field');
      if (field instanceof HTMLElement) field.hidden = !use[kind];
    }
    this.#stopMedia = media.on('change', () => void this.refresh());
    if (use.audio) this.#stopMeter = levelMeter(() => media.microphone, this.#element('level'));
    void this.refresh();
  }

  close() {
    this.#stopMeter?.();
    this.#stopMedia?.();
    this.#stopMeter = this.#stopMedia = null;
  }

  async refresh() {
    const { media, prefs } = this.#o;
    const problem = this.#element('problem');
    const words = deviceWords(media.state.audio, media.state.video);
    problem.textContent = words;
    problem.hidden = words === '';
    const list = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    const usedCamera = media.sharing ? prefs.camera : (media.picture?.getSettings().deviceId ?? prefs.camera);
    const usedMicrophone = media.microphone?.getSettings().deviceId ?? prefs.microphone;
    this.#fill('camera', list.filter((d) => d.kind === 'videoinput'), usedCamera, 'No camera');
    this.#fill('microphone', list.filter((d) => d.kind === 'audioinput'), usedMicrophone, 'No microphone');
    this.#fill('speaker', list.filter((d) => d.kind === 'audiooutput'), prefs.speaker, 'The usual speaker');
  }

  /** @param {'camera' | 'microphone' | 'speaker'} what */
  #chose(what) {
    const { media, prefs, save } = this.#o;
    prefs[what] = this.#select(what).value;
    save();
    if (what === 'speaker') this.#o.speakerChanged?.();
    else void media.reopen(what === 'camera' ? 'video' : 'audio');
  }

  /**
   * @param {'camera' | 'microphone' | 'speaker'} what
   * @param {MediaDeviceInfo[]} devices
   * @param {string} used
   * @param {string} none
   */
  #fill(what, devices, used, none) {
    const select = this.#select(what);
    const named = devices.filter((d) => d.deviceId !== '');
    const label = { camera: 'Camera', microphone: 'Microphone', speaker: 'Speaker' }[what];
    const options = named.map((d, i) => el('option', { value: d.deviceId }, d.label || `${label} ${i + 1}`));
    select.replaceChildren(...(options.length ? options : [el('option', { value: '' }, none)]));
    select.value = named.some((d) => d.deviceId === used) ? used : (named[0]?.deviceId ?? '');
    select.disabled = named.length < 1;
  }

  /** @param {string} name */
  #element(name) {
    const e = document.getElementById(`${this.#o.prefix}-${name}`);
    if (!e) throw new Error(`no ${this.#o.prefix}-${name}`);
    return e;
  }

  /**
   * @param {string} name
   * @returns {HTMLSelectElement}
   */
  #select(name) {
    return /** @type {HTMLSelectElement} */ (this.#element(name));
  }
}
