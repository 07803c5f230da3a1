/** @typedef {'tl' | 'tr' | 'bl' | 'br'} Corner */

/**
 * Lets a picture be dragged, or moved by arrow keys, to a corner of its box.
 *
 * @param {HTMLElement} item
 * @param {string} corner where it starts; empty: where the style sheet puts it
 * @param {(corner: Corner) => void} moved
 */
export function cornered(item, corner, moved) {
  if (corner) item.dataset.corner = corner;
  /** @type {{x: number, y: number} | null} */
  let from = null;

  /** @param {string} c */
  const settle = (c) => {
    item.dataset.corner = c;
    moved(/** @type {Corner} */ (c));
  };

  item.addEventListener('pointerdown', (e) => {
    if (e.button !== 0 || item.classList.contains('in-grid')) return;
    from = { x: e.clientX, y: e.clientY };
    item.setPointerCapture(e.pointerId);
  });
  item.addEventListener('pointermove', (e) => {
    if (!from) return;
    item.classList.add('dragging');
    item.style.transform = `translate(${e.clientX - from.x}px, ${e.clientY - from.y}px)`;
  });
  const drop = (/** @type {PointerEvent} */ e) => {
    if (!from) return;
    const far = Math.hypot(e.clientX - from.x, e.clientY - from.y) > 12;
    from = null;
    const box = item.parentElement?.getBoundingClientRect();
    const me = item.getBoundingClientRect();
    item.classList.remove('dragging');
    item.style.transform = '';
    if (!box || !far) return;
    const left = me.x + me.width / 2 < box.x + box.width / 2;
    const top = me.y + me.height / 2 < box.y + box.height / 2;
    settle((top ? 't' : 'b') + (left ? 'l' : 'r'));
  };
  item.addEventListener('pointerup', drop);
  item.addEventListener('pointercancel', drop);

  item.addEventListener('keydown', (e) => {
    if (item.classList.contains('in-grid')) return;
    const now = item.dataset.corner || (getComputedStyle(item).bottom === '16px' ? 'br' : 'tr');
    const next =
      e.key === 'ArrowLeft' ? now[0] + 'l' : e.key === 'ArrowRight' ? now[0] + 'r' : e.key === 'ArrowUp' ? 't' + now[1] : e.key === 'ArrowDown' ? 'b' + now[1] : '';
    if (!next) return;
    e.preventDefault();
    settle(next);
  });
}
