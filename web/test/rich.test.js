import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEmoji, oneLine, pieces } from '../page/rich.js';
import { bytes, convWords, dayKey, dayWords, shortTime, typingWords } from '../page/words.js';
import { RondoError } from '../sdk/rondo.js';

const links = (/** @type {string} */ text) => pieces(text).flatMap((p) => (p.kind === 'link' ? [p.href] : []));

test('only http and https are followed, without what ends the sentence', () => {
  /** @type {[string, string[]][]} */
  const cases = [
    ['see https://example.org/a?b=1#c.', ['https://example.org/a?b=1#c']],
    ['(https://en.wikipedia.org/wiki/Go_(game))', ['https://en.wikipedia.org/wiki/Go_(game)']],
    ['http://a.example, and HTTPS://B.example!', ['http://a.example/', 'https://b.example/']],
    ['javascript:alert(1) data:text/html,x file:///etc/passwd vbscript:x', []],
    ['https://', []],
    ['<a href="https://example.org">', ['https://example.org/']],
    ['https://example.org/"onmouseover="x', ['https://example.org/']],
    ['xhttps://example.org', ['https://example.org/']],
    ['jav\tascript:alert(1)', []],
  ];
  for (const [text, want] of cases) assert.deepEqual(links(text), want, text);
});

test('a text taken apart is whole', () => {
  for (const text of ['', 'a <@u_1> b https://x.example/. c', '<@u_1><@u_2>', '<@<@u_1>>', 'https://x.example)https://y.example', '🙂'.repeat(50)]) {
    assert.equal(pieces(text).map((p) => p.text).join(''), text);
  }
  assert.equal(oneLine('hi <@u_1>\n\n there', () => ({ name: 'Bo' })), 'hi @Bo there');
});

test('a few emoji are large, text is not', () => {
  for (const text of ['🎉', '👍🏽', '👩‍🚀 ❤️', ' 😀😀😀 ']) assert.ok(isEmoji(text), text);
  for (const text of ['', 'a', '1', '😀😀😀😀', '😀 a', '#', '*️'.repeat(20)]) assert.ok(!isEmoji(text), text);
});

test('words for times, sizes, typing and what went wrong', () => {
  const now = new Date(2026, 5, 17, 12, 0).getTime();
  assert.equal(dayWords(now, now), 'Today');
  assert.equal(dayWords(now - 86_400_000, now), 'Yesterday');
  assert.equal(dayWords(new Date(2026, 2, 2).getTime(), now), 'Monday, March 2');
  assert.equal(shortTime(new Date(2026, 2, 2).getTime(), now), 'Mar 2');
  assert.notEqual(dayKey(now), dayKey(now + 86_400_000));
  assert.deepEqual([999, 1500, 2_345_678].map(bytes), ['999 B', '2 kB', '2.3 MB']);
  assert.deepEqual([[], [{ name: 'Bo' }], [{ name: 'Bo' }, { name: 'Cy' }]].map(typingWords), ['', 'Bo is writing …', 'Bo and Cy are writing …']);
  assert.equal(convWords(new RondoError('rate_limited', 'x', 30_000)), 'Not so fast: wait 30 s.');
  for (const code of ['forbidden', 'not_found', 'passcode', 'offline', 'unavailable', 'internal', 'new_one']) assert.match(convWords(new RondoError(code, 'x')), /^[A-Z][^_]*\.$/, code);
});
