import { el } from './ui.js';

/**
 * Lets an item of a list be named where it stands: Enter saves, Escape leaves it.
 *
 * @template T
 * @param {HTMLLIElement} item
 * @param {object} options
 * @param {string} options.name as it is
 * @param {string} options.label
 * @param {string} options.testid
 * @param {(work: () => Promise<unknown>) => Promise<void>} options.work does it, and says what went wrong
 * @param {(name: string) => Promise<T>} options.save
 * @param {(fresh: T | null) => HTMLLIElement} options.draw the item as it is then; null: as it was
 */
export function renameIn(item, { name, label, testid, work, save, draw }) {
  const input = el('input', { type: 'text', maxlength: '80', 'aria-label': label, 'data-testid': `${testid}-name`, value: name });
  const form = el('form', {}, el('div', { class: 'row' }, input, el('button', { type: 'submit', class: 'primary', 'data-testid': `${testid}-save` }, 'Save')));
  const back = (/** @type {T | null} */ now) => {
    const fresh = draw(now);
    item.replaceWith(fresh);
    fresh.querySelector('button')?.focus();
  };
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    const now = input.value.trim();
    if (!now || now === name) back(null);
    else void work(async () => back(await save(now)));
  });
  form.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape') return;
    e.preventDefault(); // the dialog stays
    e.stopPropagation();
    back(null);
  });
  item.replaceChildren(form);
  input.focus();
  input.select();
}
