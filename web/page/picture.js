import { Mistake } from './form.js';
import { el } from './ui.js';

const side = 320; // pixels: twice the largest place that shows it
const most = 100_000; // characters of the data: URL that the server takes
const largest = 30_000_000; // bytes of a file that is worth a try

/**
 * Makes a profile's picture of a file: the middle square, small, without what
 * else the file tells (place, camera, time).
 *
 * @param {Blob} file
 * @returns {Promise<string>} a data: URL
 */
export async function profilePicture(file) {
  if (file.size > largest) throw new Mistake('', 'That file is too large. Choose one of less than 30 MB.');
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    throw new Mistake('', 'This browser cannot open that file as a picture. Choose a JPEG, PNG or WebP.');
  }
  const canvas = el('canvas', { width: String(side), height: String(side) });
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const { x, y, size } = middleSquare(bitmap.width, bitmap.height);
  ctx.fillStyle = '#ffffff'; // under what is transparent
  ctx.fillRect(0, 0, side, side);
  ctx.imageSmoothingQuality = 'high';
  ctx.drawImage(bitmap, x, y, size, size, 0, 0, side, side);
  bitmap.close();
  for (const quality of [0.86, 0.7, 0.5, 0.3]) {
    const url = canvas.toDataURL('image/jpeg', quality);
    if (url.length <= most) return url;
  }
  throw new Mistake('', 'That picture cannot be made small enough. Choose another one.');
}

/**
 * @param {number} width
 * @param {number} height
 */
export function middleSquare(width, height) {
  const size = Math.min(width, height);
  return { x: Math.floor((width - size) / 2), y: Math.floor((height - size) / 2), size };
}

/**
 * Shows a picture, or the first letter of the name.
 *
 * @param {HTMLElement} box
 * @param {string} name
 * @param {string} [picture] a data: URL
 */
export function drawFace(box, name, picture = '') {
  box.classList.toggle('pictured', picture !== '');
  if (!picture) {
    box.textContent = ([...name][0] ?? '?').toUpperCase();
    return;
  }
  const shown = box.querySelector('img');
  if (shown?.src === picture) return;
  box.replaceChildren(el('img', { src: picture, alt: '', 'data-testid': 'face' }));
}

/** What asks for a partner's picture. @typedef {(name: string) => Promise<string>} FindPicture */

/** The pictures of the people in a room: asked for once, and again when they change. */
export class Pictures {
  #find;
  #shown;
  /** @type {Map<string, string>} by member id */
  #known = new Map();
  #asked = 0; // counts, so that a late answer of another room is known

  /**
   * @param {FindPicture} find
   * @param {(id: string, picture: string) => void} shown a member's picture is another one; '': none
   */
  constructor(find, shown) {
    this.#find = find;
    this.#shown = shown;
  }

  /** @param {string} id */
  of(id) {
    return this.#known.get(id) ?? '';
  }

  /** @param {{id: string, picture?: string}} peer */
  async ask(peer) {
    if (!peer.picture) return;
    const asked = this.#asked;
    const picture = await this.#find(peer.picture).catch(() => null);
    if (picture === null || asked !== this.#asked || picture === this.of(peer.id)) return;
    this.#known.set(peer.id, picture);
    this.#shown(peer.id, picture);
  }

  /** Another room begins. */
  clear() {
    this.#asked++;
    this.#known.clear();
  }
}
