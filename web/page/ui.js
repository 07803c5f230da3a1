/** Small helpers over the document. Text of users only ever goes through textContent. */

/**
 * The element with this id, which must be of this class.
 *
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: any[]) => T} type
 * @returns {T}
 */
export function $(id, type) {
  const e = document.getElementById(id);
  if (!(e instanceof type)) throw new Error(`no ${type.name} #${id}`);
  return e;
}

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | boolean>} [attributes] `true` sets an empty one, `false` none
 * @param {...(Node | string)} children strings become text
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) e.setAttribute(name, '');
    else if (value !== false) e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

const svg = 'http://www.w3.org/2000/svg';

/**
 * @param {string} name of a symbol in the sprite
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const e = document.createElementNS(svg, 'svg');
  e.setAttribute('class', 'icon');
  e.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(svg, 'use');
  use.setAttribute('href', `#i-${name}`);
  e.append(use);
  return e;
}

/**
 * Shows another icon in a button.
 *
 * @param {Element} button
 * @param {string} name
 */
export function setIcon(button, name) {
  button.querySelector('use')?.setAttribute('href', `#i-${name}`);
}

/** @typedef {'start' | 'landing' | 'check' | 'lobby' | 'search' | 'call' | 'chats'} View */

/** @returns {View} */
export function currentView() {
  return /** @type {View} */ (document.documentElement.dataset.view ?? 'start');
}

/**
 * Shows one view and moves the focus to its heading, so that a screen reader
 * says where it is and the keyboard goes on from there.
 *
 * @param {View} view
 * @param {HTMLElement | null} [focus] instead of the heading
 */
export function showView(view, focus = null) {
  const changed = currentView() !== view;
  document.documentElement.dataset.view = view;
  for (const section of document.querySelectorAll('.view')) {
    if (section instanceof HTMLElement) section.hidden = section.id !== `view-${view}`;
  }
  if (!changed) return;
  window.scrollTo(0, 0);
  const target = focus ?? document.querySelector(`#view-${view} h1`);
  if (target instanceof HTMLElement) target.focus({ preventScroll: true });
}

let statusTimer = 0;

/**
 * Says in words what happens: to screen readers, and for a moment on screen.
 *
 * @param {string} text
 * @param {{quiet?: boolean}} [options] quiet: not on screen, where it can be seen anyway
 */
export function say(text, { quiet = false } = {}) {
  // What lies under an open dialog is neither read out nor well seen.
  const inside = document.querySelector('dialog[open] [data-status]');
  if (inside) inside.textContent = text;
  const box = $('status', HTMLElement);
  box.textContent = text;
  box.classList.toggle('shown', !quiet && !inside && text !== '');
  clearTimeout(statusTimer);
  statusTimer = window.setTimeout(() => box.classList.remove('shown'), 4500);
}

/**
 * Says what went wrong, until it is closed or mended.
 *
 * @param {string} text
 * @param {string} [code] stable, for tests and support
 */
export function complain(text, code = '') {
  const box = $('error', HTMLElement);
  const close = el('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close' }, icon('close'));
  close.addEventListener('click', calm);
  box.replaceChildren(el('p', {}, text), close);
  box.dataset.code = code;
  box.hidden = false;
}

/** Takes the complaint away. */
export function calm() {
  const box = $('error', HTMLElement);
  box.hidden = true;
  box.replaceChildren();
  delete box.dataset.code;
}

/**
 * Opens a dialog whose `data-close` buttons and backdrop close it.
 *
 * @param {HTMLDialogElement} dialog
 */
export function openDialog(dialog) {
  if (dialog.open) return;
  if (!dialog.dataset.wired) {
    dialog.dataset.wired = 'yes';
    for (const b of dialog.querySelectorAll('[data-close]')) b.addEventListener('click', () => dialog.close());
    // A press that begins and ends beside the dialog closes it; one on its edge, or one that began inside, does not.
    let beside = false;
    dialog.addEventListener('pointerdown', (e) => (beside = isBeside(dialog, e)));
    dialog.addEventListener('click', (e) => {
      if (beside && isBeside(dialog, e)) dialog.close();
    });
  }
  for (const box of dialog.querySelectorAll('[data-status]')) box.textContent = '';
  dialog.showModal();
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {MouseEvent} e
 */
function isBeside(dialog, e) {
  const r = dialog.getBoundingClientRect();
  return e.target === dialog && (e.clientX < r.left || e.clientX > r.right || e.clientY < r.top || e.clientY > r.bottom);
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it is in the clipboard
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
