/**
 * What the page remembers of its user between visits.
 *
 * @typedef {object} Prefs
 * @property {string} name
 * @property {import('../sdk/types.js').Mode} mode
 * @property {string[] | null} tags null: the interests of the profile
 * @property {string[] | null} languages null: those of the profile, else what the browser says
 * @property {string} pool
 * @property {string} trait
 * @property {string[]} want
 * @property {boolean} strict
 * @property {boolean} relay
 * @property {boolean} low save data
 * @property {string} camera device ids
 * @property {string} microphone
 * @property {string} speaker
 * @property {boolean} checked the device check was passed
 * @property {'auto' | 'light' | 'dark'} theme
 * @property {boolean} keys shortcuts are on
 * @property {string} corner of the own picture
 */

const key = 'rondo.prefs';

/** @type {Readonly<Prefs>} */
const defaults = Object.freeze({
  name: '',
  mode: 'video',
  tags: null,
  languages: null,
  pool: '',
  trait: '',
  want: [],
  strict: false,
  relay: false,
  low: false,
  camera: '',
  microphone: '',
  speaker: '',
  checked: false,
  theme: 'auto',
  keys: true,
  corner: '',
});

/** @returns {Prefs} */
export function loadPrefs() {
  try {
    return sane(JSON.parse(localStorage.getItem(key) ?? '{}'));
  } catch {
    return { ...defaults };
  }
}

/** @param {Prefs} prefs */
export function savePrefs(prefs) {
  try {
    localStorage.setItem(key, JSON.stringify(prefs));
  } catch {
    // nothing is remembered then
  }
}

/**
 * Takes from what was stored only what has the right shape.
 *
 * @param {any} stored
 * @returns {Prefs}
 */
export function sane(stored) {
  /** @type {any} */
  const p = { ...defaults };
  for (const [name, usual] of Object.entries(defaults)) {
    const value = stored?.[name];
    const list = Array.isArray(usual) || usual === null;
    if (list ? Array.isArray(value) && value.every((v) => typeof v === 'string') : typeof value === typeof usual) p[name] = value;
  }
  if (!['video', 'audio', 'text'].includes(p.mode)) p.mode = defaults.mode;
  if (!['auto', 'light', 'dark'].includes(p.theme)) p.theme = defaults.theme;
  return p;
}

/**
 * The primary languages that the browser names, at most two.
 *
 * @param {readonly string[]} list
 * @returns {string[]}
 */
export function ownLanguages(list) {
  return [...new Set(list.map((l) => l.toLowerCase().split('-')[0]))].filter((l) => /^[a-z]{2,3}$/.test(l)).slice(0, 2);
}
