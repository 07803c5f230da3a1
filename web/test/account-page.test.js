import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { digitsOf } from '../page/form.js';
import { Pictures, middleSquare } from '../page/picture.js';
import { qrModules } from '../page/qr.js';
import { accountWords, ago } from '../page/words.js';
import { RondoError } from '../sdk/rondo.js';

// Pictures that another project's decoder (jsQR 1.4) read back: each has another
// version, correction in one or several blocks, and a version mark from 7 on.
test('QR codes are as a decoder has read them', () => {
  /** @type {[number, number, string][]} */
  const known = [
    [1, 21, 'fd01cf331dafb356'],
    [14, 21, 'f45a4d73c34279a2'],
    [62, 33, '427d8b3b45fae7e7'],
    [106, 41, 'ee9043896c25c412'],
    [180, 53, '518b924c212115c0'],
    [213, 57, '17a35e8db5579ebe'],
    [400, 77, '9f1775f6f8a99dcf'],
    [666, 97, 'fc847b9f54bc107f'],
  ];
  for (const [bytes, size, sum] of known) {
    const rows = qrModules('otpauth://totp/Rondo:x?'.padEnd(bytes, 'a1/').slice(0, bytes));
    assert.equal(rows.length, size, `${bytes} bytes`);
    const text = rows.map((r) => r.map(Number).join('')).join('\n');
    assert.equal(createHash('sha256').update(text).digest('hex').slice(0, 16), sum, `${bytes} bytes`);
  }
  assert.throws(() => qrModules('a'.repeat(667)), RangeError);
});

test('a code is what digits there are', () => {
  assert.equal(digitsOf(' 1234-5678\n', 8), '12345678');
  assert.equal(digitsOf('Your code: 1234 5678 9', 8), '12345678');
  assert.equal(digitsOf('abc', 8), '');
});

test('words for accounts name no code, and say how long to wait', () => {
  assert.equal(accountWords(new RondoError('rate_limited', 'x', 30_000)), 'Too many tries. Please wait 30 s and try again.');
  assert.equal(accountWords(new RondoError('bad_request', 'email: that is no e-mail address')), 'That is no e-mail address.');
  for (const code of ['credentials', 'needs_totp', 'code_invalid', 'taken', 'changed', 'unauthorized', 'forbidden', 'offline', 'unavailable', 'internal', 'new_one']) {
    assert.match(accountWords(new RondoError(code, 'x')), /^[A-Z][^_]*\.$/, code);
  }
});

test('how long ago a device was seen', () => {
  const now = 1e12;
  assert.deepEqual([0, 5 * 60e3, 3600e3, 47.5 * 3600e3, 49 * 3600e3].map((d) => ago(now - d, now)), ['just now', '5 min ago', '1 hour ago', '47 hours ago', '2 days ago']);
});

test('a picture is cut in the middle', () => {
  assert.deepEqual(middleSquare(1600, 800), { x: 400, y: 0, size: 800 });
  assert.deepEqual(middleSquare(3, 4), { x: 0, y: 0, size: 3 });
});

test('pictures of a room: each is asked for, told when it is another one, and not after the room', async () => {
  /** @type {Record<string, string | Promise<string>>} */
  const server = { a: 'data:a', b: '' };
  /** @type {string[]} */
  const shown = [];
  const pictures = new Pictures(
    async (name) => {
      if (!(name in server)) throw new RondoError('not_found', 'x');
      return server[name];
    },
    (id, picture) => shown.push(`${id} ${picture}`),
  );
  await pictures.ask({ id: '1', picture: 'a' });
  await pictures.ask({ id: '1', picture: 'a' });
  await pictures.ask({ id: '2', picture: 'b' });
  await pictures.ask({ id: '3', picture: 'gone' });
  await pictures.ask({ id: '4' });
  assert.deepEqual(shown, ['1 data:a']);
  server.a = '';
  await pictures.ask({ id: '1', picture: 'a' });
  assert.deepEqual(shown.splice(0), ['1 data:a', '1 ']);
  let answer = (/** @type {string} */ _) => {};
  server.a = new Promise((done) => (answer = done));
  const late = pictures.ask({ id: '1', picture: 'a' });
  pictures.clear();
  answer('data:late');
  await late;
  assert.deepEqual([shown, pictures.of('1')], [[], '']);
});
