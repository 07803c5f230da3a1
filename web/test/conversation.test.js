import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConversationView } from '../sdk/conversation.js';
import { Conversations } from '../sdk/conversations.js';
import { RondoError } from '../sdk/errors.js';
import { Rest } from '../sdk/rest.js';
import { settle } from './fake-socket.js';

/** @typedef {import('../sdk/types.js').ConvMessage} ConvMessage */

const person = (/** @type {string} */ id, more = {}) => ({ id, name: id, role: 'member', joined_at: 0, rev: 1, delivered: 0, read: 0, ...more });

/**
 * A record of messages as the server keeps it, and a view of it.
 * @param {number} n messages by Bo
 */
function record(n) {
  const c = { id: 'c_1', kind: 'group', name: 'G', writers: 'members', guests: false, passcode: false, members: 2, seq: 0, rev: 0, created_at: 0, active_at: 0 };
  /** @type {ConvMessage[]} */
  const messages = [];
  /** @type {any[]} */
  const events = [];
  const change = (/** @type {Partial<ConvMessage>} */ m) => {
    const seq = ++c.seq;
    const at = messages.findIndex((x) => x.seq === m.seq);
    const now = /** @type {any} */ ({ seq, from: 'bo', name: 'Bo', cid: `x${seq}`, text: `t${seq}`, at: seq, ...messages[at], ...m, rev: seq });
    if (at < 0) messages.push(now);
    else messages[at] = now;
    const e = { room: 'c_1', seq, at: seq, message: { ...now } };
    events.push(e);
    return e;
  };
  for (let i = 0; i < n; i++) change({});
  const page = (/** @type {any} */ q) => {
    const limit = q.limit ?? 50;
    let list = messages;
    if (q.before) list = list.filter((m) => m.seq < q.before).slice(-limit);
    else if (q.after) list = list.filter((m) => m.seq > q.after).slice(0, limit);
    else if (q.around) list = list.slice(Math.max(0, list.findIndex((m) => m.seq === q.around) - limit / 2)).slice(0, limit);
    else list = list.slice(-limit);
    return { seq: c.seq, messages: list.map((m) => ({ ...m })), older: list.length > 0 && list[0] !== messages[0], newer: list.length > 0 && list.at(-1) !== messages.at(-1) };
  };
  const sync = (/** @type {any} */ q) => {
    const list = messages.filter((m) => m.rev > q.since).sort((a, b) => a.rev - b.rev);
    const some = list.slice(0, q.limit ?? 200);
    return { seq: some.length < list.length ? (some.at(-1)?.rev ?? c.seq) : c.seq, more: some.length < list.length, messages: some.map((m) => ({ ...m })), people: [] };
  };
  const s = {
    c,
    messages,
    events,
    change,
    /** @type {any[]} */ asked: [],
    /** @type {any[]} */ told: [],
    /** @type {Record<string, (d: any) => any>} */
    handle: {
      'conv.open': (d) => ({ conversation: { ...c }, me: person('ann', { read: 2 }), people: [person('ann'), person('bo')], pins: [], unread: 0, online: 1, here: [], ...(d.since === undefined ? { history: page(d) } : { sync: sync(d) }) }),
      'conv.history': page,
      'conv.sync': sync,
      'conv.mark': (d) => ({ delivered: 0, read: 0, ...d }),
      'conv.send': (d) => {
        const known = messages.find((m) => m.from === 'ann' && m.cid === d.cid);
        const e = known ? { message: { ...known } } : change({ from: 'ann', name: 'Ann', ...d });
        return { message: e.message, seq: e.message.seq };
      },
    },
  };
  const port = {
    request: async (/** @type {string} */ t, /** @type {any} */ d) => {
      s.asked.push([t, d]);
      return s.handle[t](d);
    },
    send: (/** @type {string} */ t, /** @type {any} */ d) => (s.told.push([t, d]), true),
    you: () => 'ann',
  };
  return { s, v: new ConversationView('c_1', port), port };
}

const seqs = (/** @type {ConversationView} */ v) => v.messages.map((m) => m.seq);

test('conversation: the newest come first, older and newer ones without holes', async () => {
  const { s, v } = record(1000);
  await v.open();
  assert.deepEqual([v.messages[0].seq, v.messages.at(-1)?.seq, v.older, v.newer], [951, 1000, true, false]);
  while (v.older) await v.loadOlder();
  assert.deepEqual([v.messages[0].seq, v.messages.length, v.newer], [1, 400, true], 'the far end is let go');
  v.pushed(s.change({}));
  assert.equal(v.messages.at(-1)?.seq, 400, 'what is new does not stand beside what is old');
  while (v.newer) await v.loadNewer();
  assert.deepEqual([v.messages.at(-1)?.seq, v.messages.length], [1001, 400]);
  assert.deepEqual(seqs(v), Array.from({ length: 400 }, (_, i) => 602 + i));
});

test('conversation: a gap is asked for before anything newer is shown', async () => {
  const { s, v } = record(3);
  await v.open();
  s.change({});
  const late = s.change({ seq: 2, text: 'edited' });
  s.change({});
  v.pushed(late);
  assert.deepEqual([seqs(v), v.get(2)?.text], [[1, 2, 3], 't2']);
  await settle();
  assert.deepEqual([seqs(v), v.get(2)?.text], [[1, 2, 3, 4, 6], 'edited']);
  assert.deepEqual(s.asked.at(-1), ['conv.sync', { since: 3 }]);
});

test('conversation: what is told late after what is known is no gap', async () => {
  const { s, v } = record(3);
  await v.open();
  for (let i = 0; i < 3; i++) s.change({ seq: 2, text: `edit ${i}` });
  v.pushed({ ...s.events[5], after: 3 });
  assert.equal(v.get(2)?.text, 'edit 2');
  v.pushed(s.change({}));
  await settle();
  assert.deepEqual([seqs(v), s.asked.filter(([t]) => t === 'conv.sync')], [[1, 2, 3, 7], []]);
});

test('conversation: changes in any order, some twice and some lost, give what the record holds', async () => {
  let random = 7;
  const dice = (/** @type {number} */ n) => (random = (random * 48271) % 2147483647) % n;
  for (let round = 0; round < 30; round++) {
    const { s, v } = record(20);
    await v.open();
    for (let i = 0; i < 60; i++) {
      const e = dice(3) === 0 ? s.change({}) : s.change({ seq: s.messages[dice(s.messages.length)].seq, text: `e${i}` });
      if (dice(4) > 0) v.pushed(e);
      if (dice(5) === 0) v.pushed(s.events[dice(s.events.length)]);
      if (dice(9) === 0) await settle();
      if (dice(15) === 0) v.reconnected();
    }
    v.reconnected();
    await settle();
    await settle();
    assert.deepEqual(v.messages, s.messages, `round ${round}`);
  }
});

test('conversation: a change that comes while a page is under way is not undone by it', async () => {
  const { s, v } = record(100);
  await v.open();
  const before = s.handle['conv.history'];
  s.handle['conv.history'] = async (q) => {
    const page = before(q);
    v.pushed(s.change({ seq: 40, text: 'edited' }));
    return page;
  };
  await v.loadOlder();
  assert.equal(v.get(40)?.text, 'edited');
});

test('conversation: after a reset everything is read afresh', async () => {
  const { s, v } = record(10);
  await v.open();
  for (let i = 0; i < 100; i++) s.change({});
  s.handle['conv.sync'] = () => ({ seq: 110, reset: true, messages: [], people: [] });
  /** @type {boolean[]} */
  const resets = [];
  v.on('messages', ({ reset }) => resets.push(reset));
  await v.heal();
  await settle();
  assert.deepEqual([v.messages[0].seq, v.messages.at(-1)?.seq], [61, 110]);
  assert.ok(resets.includes(true));
});

test('conversation: a message is sent once, whatever becomes of the connection', async () => {
  const { s, v } = record(1);
  await v.open();
  const send = s.handle['conv.send'];
  let tries = 0;
  s.handle['conv.send'] = (d) => {
    const answer = send(d);
    if (tries++ === 0) throw new RondoError('session_lost', 'x');
    return answer;
  };
  const sent = v.send('hello');
  assert.equal(v.drafts.size, 1);
  await sent;
  assert.deepEqual([tries, v.drafts.size, s.messages.length, v.messages.at(-1)?.text], [2, 0, 2, 'hello']);
});

test('conversation: what failed for want of a connection is sent when there is one; what was refused is not', async () => {
  const { s, v } = record(1);
  await v.open();
  const send = s.handle['conv.send'];
  s.handle['conv.send'] = (d) => {
    throw new RondoError(d.text === 'no' ? 'forbidden' : 'offline', 'x');
  };
  await assert.rejects(v.send('no'));
  await assert.rejects(v.send('later'));
  assert.deepEqual([...v.drafts.values()].map((d) => d.state), ['failed', 'failed']);
  s.handle['conv.send'] = send;
  v.reconnected();
  await settle();
  assert.deepEqual([...v.drafts.values()].map((d) => d.text), ['no']);
  assert.deepEqual(s.messages.map((m) => m.text), ['t1', 'later']);
  const [cid] = v.drafts.keys();
  await v.retry(cid);
  assert.equal(v.drafts.size, 0);
});

test('conversation: the push of a message of ours takes its draft away, before or after the reply', async () => {
  for (const first of [true, false]) {
    const { s, v } = record(1);
    await v.open();
    const send = s.handle['conv.send'];
    s.handle['conv.send'] = async (d) => {
      const answer = send(d);
      if (first) v.pushed(s.events.at(-1));
      return answer;
    };
    await v.send('hello');
    if (!first) v.pushed(s.events.at(-1));
    assert.deepEqual([v.drafts.size, seqs(v)], [0, [1, 2]]);
  }
});

test('conversation: marks are told now and then, and never go back', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { s, v } = record(9);
  await v.open();
  t.mock.timers.tick(1);
  assert.deepEqual(s.asked.at(-1), ['conv.mark', { delivered: 9 }]);
  v.seen(4);
  v.seen(7);
  v.seen(5);
  t.mock.timers.tick(1000);
  await settle();
  assert.deepEqual(s.asked.at(-1), ['conv.mark', { read: 7 }]);
  v.seen(7);
  t.mock.timers.tick(1000);
  assert.equal(s.asked.filter(([type]) => type === 'conv.mark').length, 2);
});

test('conversation: receipts are as far as the last one of the others', async () => {
  const { v } = record(5);
  await v.open();
  assert.equal(v.receipt(5), 'sent');
  v.marked({ user: 'bo', delivered: 5, read: 3 });
  assert.deepEqual([v.receipt(5), v.receipt(3)], ['delivered', 'read']);
  v.marked({ user: 'bo', delivered: 1, read: 1 });
  assert.equal(v.receipt(3), 'read');
});

test('conversation: typing is told seldom, and counts for five seconds', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.mock.timers.setTime(10_000);
  const { s, v } = record(1);
  await v.open();
  v.setTyping(true);
  v.setTyping(true);
  assert.deepEqual(s.told, [['conv.typing', { on: true }]]);
  /** @type {string[][]} */
  const seen = [];
  v.on('typing', (list) => seen.push(list.map((p) => p.name)));
  v.typed({ on: true, user: 'bo', name: 'Bo' });
  v.typed({ on: true, user: 'ann', name: 'Ann' });
  t.mock.timers.tick(5000);
  assert.deepEqual(seen, [['Bo'], []]);
});

test('conversation: what is shown is translated, and again after an edit', async () => {
  const { s, v } = record(3);
  s.handle['conv.translate'] = (d) => ({ to: d.to, texts: d.messages.map((/** @type {number} */ seq) => ({ seq, rev: s.messages.find((m) => m.seq === seq)?.rev, from: 'de', text: `${d.to} ${seq}` })) });
  await v.open();
  v.readIn('en');
  await settle();
  assert.deepEqual([...v.translations.values()].map((t) => t.text), ['en 1', 'en 2', 'en 3']);
  v.pushed(s.change({ seq: 2, text: 'anders' }));
  await settle();
  assert.deepEqual(s.asked.at(-1), ['conv.translate', { messages: [2], to: 'en' }]);
  assert.equal(v.translations.get(2)?.rev, 4);
  v.readIn('');
  assert.equal(v.translations.size, 0);
});

test('conversation: what is not translated in time is asked for again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { s, v } = record(3);
  let times = 0;
  s.handle['conv.translate'] = (d) => {
    times++;
    if (times === 1) throw new RondoError('unavailable', 'later', 2000);
    return { to: d.to, texts: d.messages.slice(times === 2 ? 2 : 0).map((/** @type {number} */ seq) => ({ seq, rev: seq, text: `en ${seq}` })) };
  };
  await v.open();
  v.readIn('en');
  await settle();
  assert.deepEqual([times, v.translations.size], [1, 0]);
  t.mock.timers.tick(1999);
  await settle();
  assert.equal(times, 1);
  t.mock.timers.tick(1);
  await settle();
  assert.deepEqual([times, v.translations.size], [2, 1]);
  t.mock.timers.tick(1000);
  await settle();
  assert.deepEqual(s.asked.at(-1), ['conv.translate', { messages: [1, 2], to: 'en' }]);
  assert.deepEqual([times, v.translations.size], [3, 3]);
});

test('conversations: the list follows what happens', async () => {
  const { s, port } = record(3);
  const entry = (/** @type {string} */ id, /** @type {number} */ at) => ({ ...s.c, id, active_at: at, me: person('ann', { delivered: 99 }), last: s.messages[2], unread: 0 });
  s.handle['conv.list'] = () => ({ entries: [entry('c_1', 5), entry('c_2', 9)] });
  const c = new Conversations(port, /** @type {any} */ (null));
  await c.load();
  assert.deepEqual(c.list.map((e) => e.id), ['c_2', 'c_1']);
  c.handle({ t: 'conv.event', room: 'c_1', d: s.change({ text: 'news', at: 20 }) });
  assert.deepEqual([c.list[0].id, c.list[0].last?.text, c.list[0].unread, c.unread], ['c_1', 'news', 1, 1]);
  c.handle({ t: 'conv.event', room: 'c_1', d: s.change({ seq: 4, text: 'old news' }) });
  assert.deepEqual([c.list[0].last?.text, c.list[0].unread], ['old news', 1]);
  c.handle({ t: 'conv.marks', room: 'c_1', d: { user: 'ann', read: 4, delivered: 4, unread: 0 } });
  assert.equal(c.unread, 0);
  c.handle({ t: 'conv.removed', room: 'c_2', d: {} });
  assert.deepEqual(c.list.map((e) => e.id), ['c_1']);
});

test('conversations: every path is of the OpenAPI document', async () => {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(new URL('../../docs/openapi.yaml', import.meta.url), 'utf8');
  /** @type {string[]} */
  const asked = [];
  const fetch = async (/** @type {string} */ url, /** @type {any} */ init) => {
    asked.push(`${init.method ?? 'GET'} ${new URL(url, 'http://x').pathname.replace('/api/v1', '')}`);
    assert.equal(init.headers.Authorization, 'Bearer G');
    return new Response('{"id":"c_1","revisions":[]}');
  };
  const c = new Conversations(record(1).port, new Rest({ base: '/api/v1', fetch: /** @type {any} */ (fetch), guest: () => 'G' }));
  await c.create({ kind: 'group', name: 'x' });
  await c.update('a/../b', { name: 'y' });
  await c.join('c', 'p');
  await c.get('c');
  await c.invite('c', 'bo');
  await c.setRole('c', 'u/1', 'banned');
  await c.members('c');
  await c.directory({ text: 'x' });
  await c.search({ text: 'x', room: 'c' });
  await c.revisions('c', 3);
  await c.file('f');
  await c.leave('c');
  await c.remove('c');
  assert.equal(asked[1], 'PATCH /conversations/a%2F..%2Fb');
  const known = (/** @type {string} */ q) => {
    const [method, path] = q.split(' ');
    const parts = path.split('/').map((p, i) => (i <= 1 || /^(join|leave|members|messages|revisions|files)$/.test(p) ? p : '\\{\\w+\\}'));
    const block = new RegExp(`^  /api/v1${parts.join('/')}:\\n(?:    .*\\n|\\n)*?    ${method.toLowerCase()}:`, 'm');
    return block.test(text);
  };
  for (const q of asked) assert.ok(known(q), q);
});
