import { RondoError } from '../sdk/rondo.js';
import { $ } from './ui.js';
import { count, errorWords } from './words.js';

/** @typedef {import('../sdk/types.js').RoomInfo} RoomInfo */

const kinds = { video: 'a video call', audio: 'a voice call', text: 'a chat' };

/** The door of a named room. */
export class Lobby {
  #rondo;
  /** @type {RoomInfo | null} */
  info = null;

  /** @param {import('../sdk/rondo.js').Rondo} rondo */
  constructor(rondo) {
    this.#rondo = rondo;
  }

  /**
   * Asks what the room is and shows it.
   *
   * @param {string} id
   * @param {string} name of ours
   */
  async open(id, name) {
    const title = $('lobby-title', HTMLElement);
    const words = $('lobby-words', HTMLElement);
    $('lobby-name', HTMLInputElement).value = name;
    $('join-room', HTMLButtonElement).disabled = true;
    title.textContent = 'A room on Rondo';
    words.textContent = 'One moment …';
    try {
      const info = await this.#rondo.roomInfo(id);
      this.info = info;
      title.textContent = info.name || 'A room on Rondo';
      words.textContent = this.#describe(info);
      $('lobby-passcode-field', HTMLElement).hidden = !info.passcode;
      $('lobby-fields', HTMLElement).hidden = false;
      $('join-room', HTMLButtonElement).disabled = false;
    } catch (err) {
      this.info = null;
      const code = err instanceof RondoError ? err.code : 'internal';
      $('lobby-fields', HTMLElement).hidden = code === 'not_found' || code === 'bad_request';
      if (code === 'not_found' || code === 'bad_request') {
        title.textContent = 'This room is not here';
        words.textContent = 'It may have ended, or the link is not complete. Ask for a new one.';
        $('lobby-eyebrow', HTMLElement).hidden = true;
      } else {
        words.textContent = errorWords(code, '');
        $('join-room', HTMLButtonElement).disabled = false;
      }
    }
  }

  /** @param {RoomInfo} info */
  #describe(info) {
    const kind = kinds[info.mode] ?? 'a call';
    if (info.members >= info.capacity) return `This is ${kind} for ${info.capacity}, and it is full right now.`;
    const inside = info.members === 0 ? 'Nobody is in yet.' : `${count(info.members, 'person is', 'people are')} in.`;
    return `This is ${kind} for up to ${info.capacity}. ${inside}`;
  }
}
