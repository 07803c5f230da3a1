import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chat } from '../sdk/chat.js';
import { RondoError } from '../sdk/errors.js';
import { settle } from './fake-socket.js';

const message = (/** @type {number} */ off, from = '2', cid = `x${off}`) => ({ off, from, name: 'Bo', cid, text: `text ${off}`, at: off });

/**
 * A chat whose server is the test.
 *
 * @param {(t: string, d: any) => any} server
 * @param {any} [page]
 */
function chat(server, page = { messages: [], more: false }) {
  /** @type {any[]} */
  const told = [];
  const c = new Chat({ ask: async (t, d) => server(t, d), tell: (t, d) => void told.push({ t, d }), you: () => '1', page });
  /** @type {number[]} */
  const shown = [];
  c.on('message', (m) => shown.push(m.off));
  return { c, shown, told };
}

test('messages are shown in the order of their offsets, each once', () => {
  const { c, shown } = chat(() => assert.fail('nothing to ask'));
  for (const off of [1, 2, 2, 1, 3]) c.pushed(message(off));
  assert.deepEqual(shown, [1, 2, 3]);
});

test('a gap is asked for before anything newer is shown', async () => {
  /** @type {any[]} */
  const asked = [];
  const { c, shown } = chat((t, d) => {
    asked.push([t, d]);
    return { messages: [message(2), message(3)], more: false };
  });
  c.pushed(message(1));
  c.pushed(message(4));
  assert.deepEqual(shown, [1]);
  await settle();
  assert.deepEqual(asked, [['chat.history', { since: 1 }]]);
  assert.deepEqual(shown, [1, 2, 3, 4]);
});

test('what waits for a gap is shown when the room ends', async () => {
  const { c, shown } = chat(() => new Promise(() => {}));
  for (const off of [1, 4, 3]) c.pushed(message(off));
  assert.deepEqual(shown, [1]);
  c.end();
  assert.deepEqual(shown, [1, 3, 4]);
});

test('a gap that cannot be asked for now is asked for again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let asked = 0;
  const { c, shown } = chat(() => {
    if (asked++ === 0) throw new RondoError('unavailable', 'not now');
    return { messages: [message(2)], more: false };
  });
  c.pushed(message(1));
  c.pushed(message(3));
  await settle();
  assert.deepEqual(shown, [1]);
  t.mock.timers.tick(1000);
  await settle();
  assert.deepEqual(shown, [1, 2, 3]);
});

test('a long gap heals page by page; what the server forgot is no gap', async () => {
  const { c, shown } = chat((_, d) => (d.since === 0 ? { messages: [message(5), message(6)], more: true } : { messages: [message(7)], more: false }));
  await c.heal();
  assert.deepEqual(shown, [5, 6, 7]);
});

test('a gap that history does not hold is gone: what comes after it is shown', async () => {
  for (const answer of [[], [7], [7, 1002, 1003]]) {
    const { c, shown } = chat(() => ({ messages: answer.map((off) => message(off)), more: false }));
    for (const off of [1, 1003, 1002]) c.pushed(message(off));
    await settle();
    assert.deepEqual(shown, answer[0] ? [1, 7, 1002, 1003] : [1, 1002, 1003]);
    c.pushed(message(1004));
    assert.equal(shown.at(-1), 1004);
  }
});

test('a draft becomes a message when its push comes, before or after the reply', async () => {
  for (const pushFirst of [true, false]) {
    /** @type {(v: any) => void} */
    let reply = () => {};
    const { c, shown } = chat(() => new Promise((resolve) => (reply = resolve)));
    const sent = c.send('hello');
    const [cid] = c.drafts.keys();
    if (pushFirst) c.pushed(message(1, '1', cid));
    reply({ off: 1, at: 1 });
    await sent;
    if (!pushFirst) c.pushed(message(1, '1', cid));
    assert.deepEqual(shown, [1]);
    assert.equal(c.drafts.size, 0);
  }
});

test('a failed draft is sent again under the same cid', async () => {
  /** @type {string[]} */
  const cids = [];
  const { c } = chat((_, d) => {
    cids.push(d.cid);
    if (cids.length === 1) throw new RondoError('offline', '');
    return { off: 1, at: 1 };
  });
  await assert.rejects(c.send('hello'), { code: 'offline' });
  const draft = [...c.drafts.values()][0];
  assert.equal(draft.state, 'failed');
  await c.retry(draft.cid);
  assert.equal(draft.state, 'sent');
  assert.deepEqual(cids, [draft.cid, draft.cid]);
});

test('too fast is waited out', async () => {
  let tries = 0;
  const { c } = chat(() => {
    if (++tries < 3) throw new RondoError('rate_limited', '', 1);
    return { off: 1, at: 1 };
  });
  await c.send('hello');
  assert.equal(tries, 3);
});

test('cids are what the protocol allows, and differ', async () => {
  const { c } = chat(() => ({ off: 1, at: 1 }));
  await c.send('a');
  await c.send('b');
  const cids = [...c.drafts.keys()];
  assert.equal(new Set(cids).size, 2);
  for (const cid of cids) assert.match(cid, /^[A-Za-z0-9_-]{1,64}$/);
});

test('typing is told seldom, and ends with the message', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.mock.timers.setTime(10_000);
  const { c, told } = chat(() => ({ off: 1, at: 1 }));
  c.setTyping(true);
  c.setTyping(true);
  assert.deepEqual(told, [{ t: 'typing', d: { on: true } }]);
  t.mock.timers.tick(3001);
  c.setTyping(true);
  assert.equal(told.length, 2);
  void c.send('x');
  assert.deepEqual(told.at(-1), { t: 'typing', d: { on: false } });
});

test('somebody who types is shown for five seconds, or until the message', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { c } = chat(() => ({}));
  /** @type {string[][]} */
  const seen = [];
  c.on('typing', (ids) => seen.push(ids));
  c.typed('2', true);
  c.typed('2', true);
  t.mock.timers.tick(5000);
  c.typed('2', true);
  c.pushed(message(1));
  assert.deepEqual(seen, [['2'], [], ['2'], []]);
});

test('older messages come in front', async () => {
  const { c } = chat((_, d) => (d.before === 8 ? { messages: [message(6), message(7)], more: true } : assert.fail()), { messages: [message(8), message(9)], more: true });
  await c.older();
  assert.deepEqual(c.messages.map((m) => m.off), [6, 7, 8, 9]);
});
