import { el, icon } from './ui.js';
import { bytes, convWords } from './words.js';

/** @typedef {import('../sdk/types.js').ConvFile} ConvFile */

/**
 * @typedef {object} Attachment
 * @property {File} file
 * @property {HTMLElement} row
 * @property {ConvFile | null} done
 * @property {boolean} failed
 * @property {AbortController} stop
 * @property {string} preview blob: URL; '': none
 */

/** @typedef {(file: File, options: {name: string, progress: (part: number) => void, signal: AbortSignal}) => Promise<ConvFile>} Upload */

const most = 10; // of a message

/** The files that are going to be sent with the next message: each is uploaded at once. */
export class Attachments {
  /** Something was added, removed, uploaded, or failed. @type {() => void} */
  onChange = () => {};

  #box;
  /** @type {Attachment[]} */
  #list = [];

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
  }

  get empty() {
    return this.#list.length === 0;
  }

  /** All are uploaded. */
  get ready() {
    return this.#list.every((a) => a.done);
  }

  /**
   * @param {Iterable<File>} files
   * @param {Upload} upload
   * @returns {number} how many were too many
   */
  add(files, upload) {
    let over = 0;
    for (const file of files) {
      if (this.#list.length >= most) over++;
      else this.#start(file, upload);
    }
    this.#changed();
    return over;
  }

  /** @returns {ConvFile[]} what is uploaded, and no longer here */
  take() {
    const done = this.#list.flatMap((a) => (a.done ? [a.done] : []));
    this.clear();
    return done;
  }

  clear() {
    for (const a of this.#list) this.#end(a);
    this.#list = [];
    this.#changed();
  }

  /** @param {File} file @param {Upload} upload */
  #start(file, upload) {
    const preview = /^image\/(jpeg|png|gif|webp)$/.test(file.type) ? URL.createObjectURL(file) : '';
    const name = file.name || 'picture.png';
    const bar = el('progress', { max: '1', value: '0', 'aria-label': `Uploading ${name}` });
    const drop = el('button', { type: 'button', class: 'icon-button', 'aria-label': `Remove ${name}` }, icon('close'));
    const words = el('small', {}, bytes(file.size));
    const row = el('li', { 'data-testid': 'attachment', 'data-state': 'uploading' }, preview ? el('img', { src: preview, alt: '' }) : icon('file'), el('span', { class: 'attached-name' }, el('b', { dir: 'auto' }, name), words, bar), drop);
    /** @type {Attachment} */
    const a = { file, row, done: null, failed: false, stop: new AbortController(), preview };
    this.#list.push(a);
    this.#box.append(row);
    drop.addEventListener('click', () => {
      this.#list = this.#list.filter((b) => b !== a);
      this.#end(a);
      this.#changed();
    });
    upload(file, { name, progress: (part) => (bar.value = part), signal: a.stop.signal })
      .then((done) => {
        a.done = done;
        row.dataset.state = 'done';
        bar.remove();
      })
      .catch((err) => {
        a.failed = true;
        row.dataset.state = 'failed';
        bar.remove();
        words.textContent = convWords(err);
      })
      .finally(() => this.#changed());
  }

  /** @param {Attachment} a */
  #end(a) {
    a.stop.abort();
    a.row.remove();
    if (a.preview) URL.revokeObjectURL(a.preview);
  }

  #changed() {
    this.#box.hidden = this.#list.length === 0;
    this.onChange();
  }
}
