import { drawFace } from './picture.js';
import { isEmoji, oneLine, rich } from './rich.js';
import { el, icon } from './ui.js';
import { bytes, clock, count, fullTime, receiptWords, translatedWords } from './words.js';

/** @typedef {import('../sdk/types.js').ConvMessage} ConvMessage */
/** @typedef {import('../sdk/types.js').ConvFile} ConvFile */
/** @typedef {import('../sdk/types.js').ConvReaction} ConvReaction */
/** @typedef {import('../sdk/conversation.js').ConvDraft} ConvDraft */

/**
 * What a message needs to know, and to have done, to be shown.
 *
 * @typedef {object} MessageContext
 * @property {string} you user id
 * @property {boolean} faces show who wrote: there are more than two
 * @property {(id: string) => {name: string, you: boolean}} who
 * @property {(file: string) => string} fileURL
 * @property {((file: string) => Promise<string>) | null} fileOf a guest, who has no cookie: an address in this page; null: `fileURL` will do
 * @property {(seq: number) => ConvMessage | null | undefined} quoted null: it is gone; undefined: not known yet
 * @property {(seq: number) => 'sent' | 'delivered' | 'read' | ''} receipt
 * @property {(seq: number) => import('../sdk/types.js').ConvTranslation | undefined} translation
 * @property {(seq: number) => boolean} original its translation is switched off
 * @property {(seq: number) => void} flip translation and original
 * @property {(seq: number) => void} jump
 * @property {(m: ConvMessage, emoji: string, on: boolean) => void} react
 * @property {(root: number) => void} thread
 * @property {(file: ConvFile) => void} enlarge
 * @property {(cid: string) => void} retry
 * @property {(cid: string) => void} discard
 */

/** How a message stands among its neighbours. @typedef {{first: boolean, last: boolean}} Place */

/**
 * @param {ConvMessage} m
 * @param {Place} at
 * @param {MessageContext} ctx
 * @returns {string} changes when the message looks different
 */
export function signature(m, at, ctx) {
  const own = m.from === ctx.you;
  const quote = m.reply_to ? ctx.quoted(m.reply_to) : undefined;
  const t = ctx.translation(m.seq);
  return [m.rev, at.first, at.last, ctx.faces, own ? ctx.receipt(m.seq) : ctx.who(m.from).name, quote === undefined ? '?' : quote ? quote.rev : 'x', t ? `${t.rev} ${ctx.original(m.seq)}` : '', (m.mentions ?? []).map((id) => ctx.who(id).name).join()].join('|');
}

/**
 * @param {ConvMessage} m
 * @param {Place} at
 * @param {MessageContext} ctx
 * @returns {HTMLElement}
 */
export function messageRow(m, at, ctx) {
  const own = m.from === ctx.you;
  const name = m.from ? m.name || ctx.who(m.from).name : 'Deleted account';
  const li = el('li', { class: 'msg', tabindex: '-1', 'data-seq': String(m.seq), 'data-own': own, 'data-first': at.first, 'data-last': at.last, 'data-deleted': Boolean(m.deleted_at), 'data-emoji': isEmoji(m.text) && !m.reply_to });
  const body = el('div', { class: 'msg-body' });
  if (ctx.faces && !own) {
    const face = el('span', { class: 'face', 'aria-hidden': 'true', 'data-hue': hue(m.from) });
    if (at.last) drawFace(face, name);
    else face.classList.add('no-face');
    li.append(face);
  }
  if (at.first && ctx.faces && !own) body.append(el('p', { class: 'msg-who', dir: 'auto', 'data-hue': hue(m.from) }, name));
  else body.append(el('span', { class: 'hush' }, own ? 'You: ' : `${name}: `));
  const bubble = el('div', { class: 'bubble' });
  if (m.reply_to) bubble.append(quote(m.reply_to, ctx));
  if (m.deleted_at) bubble.append(el('p', { class: 'msg-gone' }, 'Message deleted'));
  else {
    for (const f of m.files ?? []) bubble.append(attachment(f, ctx));
    if (m.text) bubble.append(...words(m, ctx));
  }
  bubble.append(meta(m, own ? ctx.receipt(m.seq) : ''));
  body.append(bubble);
  const list = (m.reactions ?? []).filter((r) => r.count > 0);
  if (list.length && !m.deleted_at) body.append(reactions(m, list, ctx));
  if (m.replies) {
    const b = el('button', { type: 'button', class: 'msg-replies', 'data-testid': 'replies' }, icon('reply'), count(m.replies, 'answer', 'answers'));
    b.addEventListener('click', () => ctx.thread(m.seq));
    body.append(b);
  }
  li.append(body);
  return li;
}

/**
 * @param {ConvMessage} m
 * @param {MessageContext} ctx
 * @returns {Node[]}
 */
function words(m, ctx) {
  const t = ctx.translation(m.seq);
  const shown = t && t.rev >= m.rev && !ctx.original(m.seq) ? t.text : m.text;
  const p = el('p', { class: 'msg-text', dir: 'auto', 'data-testid': 'text' }, ...rich(shown, ctx.who));
  if (!t || t.rev < m.rev || t.text === m.text) return [p];
  const flip = el('button', { type: 'button', class: 'msg-flip', 'data-testid': 'flip' }, translatedWords(t.from ?? '', ctx.original(m.seq)));
  flip.addEventListener('click', () => ctx.flip(m.seq));
  return [p, flip];
}

/**
 * @param {ConvMessage} m
 * @param {'sent' | 'delivered' | 'read' | ''} receipt
 */
function meta(m, receipt) {
  const span = el('span', { class: 'msg-meta', title: fullTime(m.at) });
  if (m.pinned && !m.deleted_at) span.append(icon('pin'), el('span', { class: 'hush' }, 'Pinned. '));
  if (m.edited_at && !m.deleted_at) span.append(el('span', { class: 'msg-edited', 'data-testid': 'edited' }, 'edited'));
  span.append(el('time', { datetime: new Date(m.at).toISOString() }, clock(m.at)));
  if (receipt) span.append(tick(receipt));
  return span;
}

/** @param {'sent' | 'delivered' | 'read' | 'sending'} state */
function tick(state) {
  const t = el('span', { class: 'tick', 'data-testid': 'receipt', 'data-receipt': state }, icon(state === 'sending' ? 'clock' : state === 'sent' ? 'check' : 'checks'), el('span', { class: 'hush' }, receiptWords(state)));
  t.title = receiptWords(state);
  return t;
}

/** @param {number} seq @param {MessageContext} ctx */
function quote(seq, ctx) {
  const m = ctx.quoted(seq);
  const b = el('button', { type: 'button', class: 'quote', 'data-testid': 'quote' });
  b.append(el('b', { dir: 'auto' }, m ? (m.from === ctx.you ? 'You' : m.name) : 'Reply'), el('span', { dir: 'auto' }, m === undefined ? '…' : m === null ? 'That message is gone' : snippet(m, ctx.who)));
  b.addEventListener('click', () => ctx.jump(seq));
  return b;
}

/**
 * A message in a few words.
 *
 * @param {ConvMessage} m
 * @param {(id: string) => {name: string}} who
 */
export function snippet(m, who) {
  if (m.deleted_at) return 'Message deleted';
  const files = m.files ?? [];
  return oneLine(m.text, who) || (files.length === 0 ? '' : files.every((f) => isPicture(f)) ? count(files.length, 'picture', 'pictures') : files[0].name);
}

/** @param {ConvFile} f */
function isPicture(f) {
  return ['image/jpeg', 'image/png', 'image/gif', 'image/webp'].includes(f.type);
}

/** @param {ConvFile} f @param {MessageContext} ctx */
function attachment(f, ctx) {
  const url = ctx.fileURL(f.id);
  if (!isPicture(f)) {
    const a = el('a', { class: 'file', href: url, download: f.name, rel: 'noopener noreferrer', 'data-testid': 'file' }, icon('file'), el('span', {}, el('b', { dir: 'auto' }, f.name), el('small', {}, bytes(f.size))));
    const { fileOf } = ctx;
    if (fileOf) a.addEventListener('click', (e) => e.isTrusted && (e.preventDefault(), void save(fileOf(f.id), f.name)));
    return a;
  }
  const { width = 320, height = 240 } = f;
  const k = Math.min(1, 320 / width, 320 / height); // known beforehand, so that nothing moves when it comes
  const img = el('img', { src: ctx.fileOf ? false : url, alt: f.name, width: String(Math.max(40, Math.round(width * k))), height: String(Math.max(40, Math.round(height * k))), loading: 'lazy', decoding: 'async', referrerpolicy: 'no-referrer' });
  const b = el('button', { type: 'button', class: 'picture', 'aria-label': `Picture: ${f.name}`, 'data-testid': 'picture' }, img);
  img.addEventListener('error', () => b.classList.add('broken'));
  ctx.fileOf?.(f.id).then((src) => (img.src = src), () => b.classList.add('broken'));
  b.addEventListener('click', () => ctx.enlarge(f));
  return b;
}

/** @param {Promise<string>} address @param {string} name */
async function save(address, name) {
  const href = await address.catch(() => '');
  if (href) el('a', { href, download: name }).click();
}

/** @param {ConvMessage} m @param {ConvReaction[]} list @param {MessageContext} ctx */
function reactions(m, list, ctx) {
  const box = el('div', { class: 'reactions', role: 'group', 'aria-label': 'Reactions' });
  for (const r of list) {
    const mine = r.by?.includes(ctx.you) ?? false;
    const names = (r.by ?? []).map((id) => (id === ctx.you ? 'You' : ctx.who(id).name)).slice(0, 12).join(', ');
    const b = el('button', { type: 'button', 'aria-pressed': String(mine), title: names, 'data-testid': 'reaction', 'data-emoji': r.emoji, 'aria-label': `${r.emoji} ${r.count}, ${names}` }, el('span', { 'aria-hidden': 'true' }, r.emoji), el('span', { 'aria-hidden': 'true' }, String(r.count)));
    b.addEventListener('click', () => ctx.react(m, r.emoji, !mine));
    box.append(b);
  }
  return box;
}

/**
 * One of ours on its way.
 *
 * @param {ConvDraft} d
 * @param {MessageContext} ctx
 * @param {string} why it failed
 */
export function draftRow(d, ctx, why) {
  const li = el('li', { class: 'msg', tabindex: '-1', 'data-cid': d.cid, 'data-own': true, 'data-first': true, 'data-last': true, 'data-state': d.state });
  const bubble = el('div', { class: 'bubble' });
  if (d.reply_to) bubble.append(quote(d.reply_to, ctx));
  for (const f of d.files) bubble.append(attachment(f, ctx));
  if (d.text) bubble.append(el('p', { class: 'msg-text', dir: 'auto' }, ...rich(d.text, ctx.who)));
  const line = el('span', { class: 'msg-meta' }, el('time', {}, clock(d.at)));
  if (d.state === 'sending') line.append(tick('sending'));
  bubble.append(line);
  const body = el('div', { class: 'msg-body' }, el('span', { class: 'hush' }, 'You: '), bubble);
  if (d.state === 'failed') {
    const again = el('button', { type: 'button', 'data-testid': 'try-again' }, 'Try again');
    const drop = el('button', { type: 'button', 'data-testid': 'discard' }, 'Discard');
    again.addEventListener('click', () => ctx.retry(d.cid));
    drop.addEventListener('click', () => ctx.discard(d.cid));
    body.append(el('p', { class: 'msg-failed', role: 'alert' }, why, again, drop));
  }
  li.append(body);
  return li;
}

/** One of a few colours, the same for the same person. @param {string} id */
export function hue(id) {
  let n = 2166136261;
  for (const c of id) n = Math.imul(n ^ (c.codePointAt(0) ?? 0), 16777619); // FNV-1a
  return String((n >>> 8) % 6);
}
