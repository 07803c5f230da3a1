/**
 * When the steps of a call's beginning were made, by performance.now(). They
 * stand in the browser's performance timeline too, as `rondo:<step>`.
 *
 * `click`: the user asked for it; `asked`: the server was; `matched`: somebody
 * is there; `offer` and `answer`: sent, or got; `ice`: a path works;
 * `connected`: media can flow; `frame`: the other side's first picture.
 *
 * @typedef {'click' | 'asked' | 'matched' | 'offer' | 'answer' | 'ice' | 'connected' | 'frame'} Step
 */

/** @type {Step[]} */
const order = ['click', 'asked', 'matched', 'offer', 'answer', 'ice', 'connected', 'frame'];

/** The steps of one call. */
export class Marks {
  /** @type {Map<Step, number>} */
  #at = new Map();

  constructor() {
    for (const step of order) performance.clearMarks(`rondo:${step}`);
  }

  /**
   * Notes a step that is made for the first time.
   *
   * @param {Step} step
   * @param {number} [at] by performance.now(); default: now
   */
  note(step, at = performance.now()) {
    if (this.#at.has(step)) return;
    this.#at.set(step, at);
    performance.mark(`rondo:${step}`, { startTime: at });
  }

  /**
   * How long each step took after the one before, in ms, and all of them
   * together but for the search, whose length is no matter of ours. What came
   * in another order, or was not seen, is left out.
   *
   * @returns {Record<string, number>}
   */
  steps() {
    /** @type {Record<string, number>} */
    const took = {};
    const between = (/** @type {Step} */ from, /** @type {Step} */ to) => (this.#at.get(to) ?? NaN) - (this.#at.get(from) ?? NaN);
    const put = (/** @type {string} */ name, /** @type {number} */ ms) => {
      if (ms >= 0 && ms <= 120_000) took[name] = Math.round(ms);
    };
    put('ask', between('click', 'asked'));
    put('offer', between('matched', 'offer'));
    put('answer', between('offer', 'answer'));
    put('ice', between('answer', 'ice'));
    put('dtls', between('ice', 'connected'));
    put('frame', between('connected', 'frame'));
    put('total', between('click', 'asked') + between('matched', 'frame'));
    return took;
  }
}
