/**
 * QR codes (ISO/IEC 18004): text as bytes, error correction M, versions 1 to 20
 * (666 bytes), drawn as one SVG path.
 */

const eccPerBlock = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26]; // table 9, level M
const blockCount = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];

/**
 * @param {string} text
 * @returns {boolean[][]} rows of modules, true is dark
 */
export function qrModules(text) {
  const data = new TextEncoder().encode(text);
  const version = eccPerBlock.findIndex((_, i) => data.length + (i < 9 ? 2 : 3) <= dataCodewords(i + 1)) + 1;
  if (version === 0) throw new RangeError('too long for a QR code');
  const size = version * 4 + 17;
  const grid = newGrid(size, version);
  place(grid, codewords(data, version));
  let best = 0;
  let least = Infinity;
  for (let mask = 0; mask < 8; mask++) {
    applyMask(grid, mask);
    drawFormat(grid, mask);
    const p = penalty(grid.dark);
    if (p < least) [best, least] = [mask, p];
    applyMask(grid, mask); // off again
  }
  applyMask(grid, best);
  drawFormat(grid, best);
  return grid.dark;
}

/**
 * @param {string} text
 * @param {string} label for who cannot see it
 * @returns {SVGSVGElement}
 */
export function qrPicture(text, label) {
  const rows = qrModules(text);
  const ns = 'http://www.w3.org/2000/svg';
  const picture = document.createElementNS(ns, 'svg');
  picture.setAttribute('viewBox', `0 0 ${rows.length} ${rows.length}`);
  picture.setAttribute('role', 'img');
  picture.setAttribute('aria-label', label);
  picture.setAttribute('shape-rendering', 'crispEdges');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ''))).join(''));
  path.setAttribute('fill', 'currentColor');
  picture.append(path);
  return picture;
}

/** @param {number} v version @returns {number} bits for data and correction */
function rawBits(v) {
  let bits = (16 * v + 128) * v + 64;
  if (v >= 2) {
    const n = Math.floor(v / 7) + 2;
    bits -= (25 * n - 10) * n - 55;
    if (v >= 7) bits -= 36;
  }
  return bits;
}

/** @param {number} v */
function dataCodewords(v) {
  return Math.floor(rawBits(v) / 8) - eccPerBlock[v - 1] * blockCount[v - 1];
}

/**
 * The message with its correction, interleaved.
 *
 * @param {Uint8Array} data
 * @param {number} v
 * @returns {number[]}
 */
function codewords(data, v) {
  const room = dataCodewords(v);
  /** @type {number[]} */
  const bits = [];
  const put = (/** @type {number} */ value, /** @type {number} */ n) => {
    for (let i = n - 1; i >= 0; i--) bits.push((value >> i) & 1);
  };
  put(4, 4); // bytes
  put(data.length, v < 10 ? 8 : 16);
  for (const b of data) put(b, 8);
  put(0, Math.min(4, room * 8 - bits.length));
  put(0, (8 - (bits.length % 8)) % 8);
  for (let pad = 0xec; bits.length < room * 8; pad ^= 0xec ^ 0x11) put(pad, 8);
  /** @type {number[]} */
  const bytes = [];
  for (let i = 0; i < bits.length; i += 8) bytes.push(parseInt(bits.slice(i, i + 8).join(''), 2));

  const blocks = blockCount[v - 1];
  const ecc = eccPerBlock[v - 1];
  const total = Math.floor(rawBits(v) / 8);
  const short = blocks - (total % blocks); // blocks with one data byte less
  const length = Math.floor(total / blocks) - ecc;
  const divisor = generator(ecc);
  /** @type {{data: number[], ecc: number[]}[]} */
  const list = [];
  for (let i = 0, at = 0; i < blocks; i++) {
    const part = bytes.slice(at, (at += length + (i < short ? 0 : 1)));
    list.push({ data: part, ecc: remainder(part, divisor) });
  }
  /** @type {number[]} */
  const out = [];
  for (let i = 0; i <= length; i++) for (const b of list) if (i < b.data.length) out.push(b.data[i]);
  for (let i = 0; i < ecc; i++) for (const b of list) out.push(b.ecc[i]);
  return out;
}

/** Product in GF(2^8) modulo x^8+x^4+x^3+x^2+1. @param {number} x @param {number} y */
function times(x, y) {
  let z = 0;
  for (let i = 7; i >= 0; i--) {
    z = (z << 1) ^ ((z >>> 7) * 0x11d);
    z ^= ((y >>> i) & 1) * x;
  }
  return z;
}

/** @param {number} degree @returns {number[]} of the Reed–Solomon generator, without its leading 1 */
function generator(degree) {
  const g = new Array(degree).fill(0);
  g[degree - 1] = 1;
  for (let i = 0, root = 1; i < degree; i++, root = times(root, 2)) {
    for (let j = 0; j < degree; j++) g[j] = times(g[j], root) ^ (j + 1 < degree ? g[j + 1] : 0);
  }
  return g;
}

/** @param {number[]} data @param {number[]} divisor @returns {number[]} */
function remainder(data, divisor) {
  const r = new Array(divisor.length).fill(0);
  for (const b of data) {
    const factor = b ^ r.shift();
    r.push(0);
    divisor.forEach((c, i) => (r[i] ^= times(c, factor)));
  }
  return r;
}

/**
 * @typedef {object} Grid
 * @property {boolean[][]} dark
 * @property {boolean[][]} fixed not for data
 */

/** @param {number} size @param {number} v @returns {Grid} with all that does not depend on the text */
function newGrid(size, v) {
  const make = () => Array.from({ length: size }, () => new Array(size).fill(false));
  const grid = { dark: make(), fixed: make() };
  for (let i = 0; i < size; i++) {
    set(grid, 6, i, i % 2 === 0);
    set(grid, i, 6, i % 2 === 0);
  }
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) ring(grid, x, y, 4);
  const at = alignment(v, size);
  const last = at.length - 1;
  at.forEach((x, i) => at.forEach((y, j) => {
    const corner = (i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0);
    if (!corner) ring(grid, x, y, 2);
  }));
  drawFormat(grid, 0);
  if (v >= 7) drawVersion(grid, v);
  return grid;
}

/** @param {Grid} g @param {number} x @param {number} y @param {boolean} dark */
function set(g, x, y, dark) {
  g.dark[y][x] = dark;
  g.fixed[y][x] = true;
}

/** Concentric squares: a finder (4) with its margin, or an alignment mark (2). @param {Grid} g @param {number} cx @param {number} cy @param {number} r */
function ring(g, cx, cy, r) {
  for (let dy = -r; dy <= r; dy++) {
    for (let dx = -r; dx <= r; dx++) {
      const x = cx + dx;
      const y = cy + dy;
      const d = Math.max(Math.abs(dx), Math.abs(dy));
      if (g.dark[y]?.[x] !== undefined) set(g, x, y, r === 4 ? d !== 2 && d !== 4 : d !== 1);
    }
  }
}

/** @param {number} v @param {number} size @returns {number[]} */
function alignment(v, size) {
  if (v === 1) return [];
  const n = Math.floor(v / 7) + 2;
  const step = Math.floor((v * 8 + n * 3 + 5) / (n * 4 - 4)) * 2;
  const list = [6];
  for (let at = size - 7; list.length < n; at -= step) list.splice(1, 0, at);
  return list;
}

/** @param {Grid} g @param {number} mask */
function drawFormat(g, mask) {
  const size = g.dark.length;
  let rest = mask; // level M is 00
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const bit = (/** @type {number} */ i) => ((bits >>> i) & 1) !== 0;
  for (let i = 0; i <= 5; i++) set(g, 8, i, bit(i));
  set(g, 8, 7, bit(6));
  set(g, 8, 8, bit(7));
  set(g, 7, 8, bit(8));
  for (let i = 9; i < 15; i++) set(g, 14 - i, 8, bit(i));
  for (let i = 0; i < 8; i++) set(g, size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i++) set(g, 8, size - 15 + i, bit(i));
  set(g, 8, size - 8, true);
}

/** @param {Grid} g @param {number} v */
function drawVersion(g, v) {
  const size = g.dark.length;
  let rest = v;
  for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
  const bits = (v << 12) | rest;
  for (let i = 0; i < 18; i++) {
    const dark = ((bits >>> i) & 1) !== 0;
    const a = size - 11 + (i % 3);
    const b = Math.floor(i / 3);
    set(g, a, b, dark);
    set(g, b, a, dark);
  }
}

/** Lays the bits in pairs of columns, from the lower right up and down. @param {Grid} g @param {number[]} bytes */
function place(g, bytes) {
  const size = g.dark.length;
  let i = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    const up = ((right + 1) & 2) === 0;
    for (let n = 0; n < size; n++) {
      const y = up ? size - 1 - n : n;
      for (const x of [right, right - 1]) {
        if (g.fixed[y][x] || i >= bytes.length * 8) continue;
        g.dark[y][x] = ((bytes[i >> 3] >>> (7 - (i & 7))) & 1) !== 0;
        i++;
      }
    }
  }
}

/** @type {((x: number, y: number) => boolean)[]} */
const masks = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** @param {Grid} g @param {number} mask */
function applyMask(g, mask) {
  g.dark.forEach((row, y) => row.forEach((dark, x) => {
    if (!g.fixed[y][x] && masks[mask](x, y)) row[x] = !dark;
  }));
}

/** How hard it is to read: runs, squares, false finders, imbalance. @param {boolean[][]} rows */
function penalty(rows) {
  const size = rows.length;
  let p = 0;
  let dark = 0;
  const lines = [...rows, ...rows.map((_, x) => rows.map((row) => row[x]))].map((line) => line.map(Number).join(''));
  for (const line of lines) {
    for (const run of line.match(/0{5,}|1{5,}/g) ?? []) p += run.length - 2;
    for (const sign of ['10111010000', '00001011101']) for (let at = line.indexOf(sign); at >= 0; at = line.indexOf(sign, at + 1)) p += 40;
  }
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (rows[y][x]) dark++;
      if (y && x && rows[y][x] === rows[y - 1][x] && rows[y][x] === rows[y][x - 1] && rows[y][x] === rows[y - 1][x - 1]) p += 3;
    }
  }
  return p + 10 * Math.floor(Math.abs(dark / (size * size) - 0.5) * 20);
}
