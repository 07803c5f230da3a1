import { el } from './ui.js';

/**
 * A piece of a message: plain text, an address that may be followed, or somebody.
 *
 * @typedef {{kind: 'text', text: string} | {kind: 'link', text: string, href: string} | {kind: 'mention', text: string, id: string}} Piece
 */

const special = /<@([A-Za-z0-9_-]{1,64})>|https?:\/\/[^\s<>"'`\u0000-\u001f]+/gi;

/**
 * Takes a text apart. Only http and https addresses become links.
 *
 * @param {string} text
 * @returns {Piece[]}
 */
export function pieces(text) {
  /** @type {Piece[]} */
  const out = [];
  let done = 0;
  const plain = (/** @type {number} */ end) => {
    if (end > done) out.push({ kind: 'text', text: text.slice(done, end) });
  };
  for (const m of text.matchAll(special)) {
    /** @type {Piece | null} */
    const piece = m[1] ? { kind: 'mention', text: m[0], id: m[1] } : link(m[0]);
    if (!piece) continue;
    plain(m.index);
    out.push(piece);
    done = m.index + piece.text.length;
  }
  plain(text.length);
  return out;
}

/** @param {string} text @returns {Piece | null} */
function link(text) {
  let shown = text;
  // What ends a sentence, or closes a bracket that was opened before, is no part of it.
  for (let last; (last = shown.at(-1)) && (/[.,;:!?…*_~|]/.test(last) || (last === ')' && !balanced(shown)) || last === ']' || last === '}'); ) shown = shown.slice(0, -1);
  try {
    const url = new URL(shown);
    if ((url.protocol !== 'http:' && url.protocol !== 'https:') || !url.hostname) return null;
    return { kind: 'link', text: shown, href: url.href };
  } catch {
    return null;
  }
}

/** @param {string} s */
function balanced(s) {
  return s.split('(').length >= s.split(')').length;
}

/**
 * Makes nodes of a text of somebody, in which nothing but text is taken over.
 *
 * @param {string} text
 * @param {(id: string) => {name: string, you: boolean}} who
 * @returns {(Node | string)[]}
 */
export function rich(text, who) {
  return pieces(text).map((p) => {
    if (p.kind === 'text') return p.text;
    if (p.kind === 'link') return el('a', { href: p.href, target: '_blank', rel: 'noopener noreferrer nofollow', referrerpolicy: 'no-referrer' }, p.text);
    const { name, you } = who(p.id);
    return el('span', { class: 'mention', 'data-you': you }, `@${name}`);
  });
}

/**
 * A text in one line, with names for who is mentioned.
 *
 * @param {string} text
 * @param {(id: string) => {name: string}} who
 */
export function oneLine(text, who) {
  return pieces(text)
    .map((p) => (p.kind === 'mention' ? `@${who(p.id).name}` : p.text))
    .join('')
    .replace(/\s+/g, ' ')
    .slice(0, 200);
}

const onlyEmoji = /^(?:\s*(?:\p{Extended_Pictographic}|\p{Emoji_Presentation})(?:\p{Emoji_Modifier}|\u200d\p{Extended_Pictographic}|\ufe0f)*\s*){1,3}$/u;

/** A few emoji and nothing else are shown large. @param {string} text */
export function isEmoji(text) {
  return text.length <= 40 && onlyEmoji.test(text);
}
