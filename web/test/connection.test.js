import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Backoff } from '../sdk/backoff.js';
import { Connection } from '../sdk/connection.js';
import { mayReconnect } from '../sdk/errors.js';
import { memoryStore } from '../sdk/storage.js';
import { FakeSocket, settle, sockets } from './fake-socket.js';

const url = 'wss://rondo.example/ws';

/** @type {any[]} */
let pushes;
/** @type {string[]} */
let states;

/** @param {any} [options] */
function connect(options = {}) {
  const c = new Connection({
    url,
    hello: () => ({ name: 'Ann' }),
    session: memoryStore(),
    WebSocket: /** @type {any} */ (FakeSocket),
    fetch: /** @type {any} */ (async () => { throw new Error('offline'); }),
    random: () => 0.5,
    ...options,
  });
  pushes = [];
  states = [];
  c.on('push', (m) => pushes.push(m));
  c.on('status', (e) => states.push(e.status + (e.reason ? ` ${e.reason}` : '')));
  c.start();
  return c;
}

/** @returns {FakeSocket} */
const socket = () => /** @type {FakeSocket} */ (sockets.at(-1));

/** A connection with a session. @param {any} [options] */
function opened(options) {
  const c = connect(options);
  socket().open();
  socket().welcome();
  return c;
}

beforeEach(() => {
  sockets.length = 0;
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
});
afterEach(() => mock.timers.reset());

test('back-off is full jitter, doubles, and is bounded', () => {
  const top = new Backoff({ random: () => 1 });
  const drawn = Array.from({ length: 9 }, () => top.next());
  assert.deepEqual(drawn, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  top.reset();
  assert.equal(top.next(), 500);
  assert.equal(new Backoff({ random: () => 0 }).next(), 0);
});

test('the range of a close code says whether to come back', () => {
  for (const code of [1001, 1006, 1012, 4000, 4001, 4008, 4012, 4013]) assert.ok(mayReconnect(code), String(code));
  for (const code of [1000, 1007, 1008, 1009, 4500, 4501, 4502, 4503, 4505, 4506]) assert.ok(!mayReconnect(code), String(code));
});

test('hello comes first and offers the subprotocol', () => {
  connect();
  assert.equal(socket().url, url);
  assert.equal(socket().protocol, 'rondo.v1');
  socket().open();
  assert.deepEqual(socket().sent[0].t, 'hello');
  assert.deepEqual(socket().sent[0].d, { name: 'Ann' });
  socket().welcome();
  assert.deepEqual(states, ['open']);
});

test('a request gets its reply by its number, an error its code', async () => {
  const c = opened();
  const a = c.request('stats');
  const b = c.request('room.join', {}, { room: 'k3' });
  const [ra, rb] = socket().sent.slice(-2);
  assert.equal(rb.room, 'k3');
  socket().say({ t: 'err', id: rb.id, e: { code: 'room_full', msg: 'full', retry_ms: 7 } });
  socket().say({ t: 'ok', id: ra.id, d: { online: 3 } });
  assert.deepEqual(await a, { online: 3 });
  await assert.rejects(b, (/** @type {any} */ e) => e.code === 'room_full' && e.retryMs === 7);
});

test('a request without an answer times out', async () => {
  const c = opened();
  const p = c.request('stats', {}, { timeout: 1000 });
  mock.timers.tick(1001);
  await assert.rejects(p, { code: 'timeout' });
});

test('a request made before the session is sent after it', async () => {
  const c = connect();
  const p = c.request('stats');
  socket().open();
  assert.equal(socket().last('stats'), undefined);
  socket().welcome();
  socket().say({ t: 'ok', id: socket().last('stats').id, d: {} });
  assert.deepEqual(await p, {});
});

test('ping is answered, acks ride along and come by themselves', () => {
  const c = opened();
  socket().say({ t: 'ping' });
  assert.deepEqual(socket().sent.at(-1), { t: 'pong' });
  socket().say({ t: 'x', seq: 1, d: {} });
  c.send('typing', { on: true }, { room: 'k' });
  assert.deepEqual(socket().sent.at(-1), { t: 'typing', room: 'k', d: { on: true }, a: 1 });
  socket().say({ t: 'x', seq: 2, d: {} });
  mock.timers.tick(1000);
  assert.deepEqual(socket().sent.at(-1), { t: 'ack', a: 2 });
  for (let seq = 3; seq <= 18; seq++) socket().say({ t: 'x', seq, d: {} });
  assert.deepEqual(socket().sent.at(-1), { t: 'ack', a: 18 });
});

test('a lost socket resumes: replay in order, doubles dropped', () => {
  opened();
  socket().say({ t: 'a', seq: 1, d: {} });
  socket().say({ t: 'b', seq: 2, d: {} });
  socket().drop(1006);
  assert.equal(states.at(-1), 'reconnecting lost');
  mock.timers.tick(250); // 0.5 · 500
  assert.equal(sockets.length, 2);
  socket().open();
  assert.deepEqual(socket().sent[0].d, { token: 'T1', seq: 2, fresh: false });
  socket().resumed({ seq: 4, replayed: 2 });
  socket().say({ t: 'b', seq: 2, d: {} });
  socket().say({ t: 'c', seq: 3, d: {} });
  socket().say({ t: 'd', seq: 4, d: {} });
  assert.deepEqual(pushes.map((m) => m.t), ['a', 'b', 'c', 'd']);
});

test('the new token is used at the next resume', () => {
  opened();
  socket().drop(1006);
  mock.timers.tick(500);
  socket().open();
  socket().resumed({ seq: 3, state: { user: {}, limits: {}, pools: [], features: [], match: null, room: null } });
  assert.deepEqual(socket().sent.at(-1), { t: 'ack', a: 3 }, 'the server learns that the token has arrived');
  socket().drop(4008, 'slow');
  mock.timers.tick(1000);
  socket().open();
  assert.equal(socket().sent[0].d.token, 'T2');
});

test('a request whose reply was lost is sent again under its number', async () => {
  const c = opened();
  const p = c.request('chat', { cid: '1' }, { room: 'k' });
  const id = socket().last('chat').id;
  socket().drop(1006);
  const q = c.request('chat', { cid: '2' }, { room: 'k' });
  mock.timers.tick(500);
  socket().open();
  socket().resumed();
  const again = socket().sent.filter((m) => m.t === 'chat');
  assert.deepEqual(again.map((m) => m.d.cid), ['1', '2']);
  assert.equal(again[0].id, id);
  for (const m of again) socket().say({ t: 'ok', id: m.id, d: { off: 1 } });
  await Promise.all([p, q]);
});

test('resume_expired: hello on the same socket, old requests fail, waiting ones go on', async () => {
  const c = opened();
  /** @type {any[]} */
  const sessions = [];
  c.on('welcome', (e) => sessions.push(e.reset));
  const sent = c.request('match.find');
  socket().drop(1006);
  const later = c.request('stats');
  mock.timers.tick(500);
  socket().open();
  socket().say({ t: 'err', id: socket().last('resume').id, e: { code: 'resume_expired', msg: '' } });
  assert.equal(sockets.length, 2);
  socket().welcome();
  await assert.rejects(sent, { code: 'session_lost' });
  assert.deepEqual(sessions, [true]);
  socket().say({ t: 'ok', id: socket().last('stats').id, d: { online: 1 } });
  assert.deepEqual(await later, { online: 1 });
});

test('resync takes the position the server names', () => {
  opened();
  socket().drop(1006);
  mock.timers.tick(500);
  socket().open();
  socket().resumed({ seq: 90, resync: true, state: { user: {}, limits: {}, pools: [], features: [], match: null, room: null } });
  socket().say({ t: 'x', seq: 90, d: {} });
  socket().say({ t: 'y', seq: 91, d: {} });
  assert.deepEqual(pushes.map((m) => m.t), ['y']);
});

test('a gap makes it resume once, then it takes what comes', () => {
  opened();
  socket().say({ t: 'a', seq: 1, d: {} });
  socket().say({ t: 'c', seq: 3, d: {} });
  assert.deepEqual(pushes.map((m) => m.t), ['a']);
  mock.timers.tick(500);
  socket().open();
  assert.equal(socket().sent[0].d.seq, 1);
  socket().resumed({ seq: 3 });
  socket().say({ t: 'c', seq: 3, d: {} });
  assert.deepEqual(pushes.map((m) => m.t), ['a', 'c']);
});

test('silence for ping_ms and 10 s counts as a loss', () => {
  opened();
  mock.timers.tick(34_999);
  assert.equal(sockets.length, 1);
  mock.timers.tick(1);
  assert.equal(states.at(-1), 'reconnecting silent');
  mock.timers.tick(500);
  assert.equal(sockets.length, 2);
});

test('probe: an answer keeps the socket, none replaces it', () => {
  const c = opened();
  c.probe();
  assert.deepEqual(socket().sent.at(-1), { t: 'ping' });
  socket().say({ t: 'pong' });
  mock.timers.tick(5000);
  assert.equal(sockets.length, 1);
  c.probe();
  mock.timers.tick(3001);
  assert.equal(states.at(-1), 'reconnecting silent');
});

test('drain: comes back when it was told to', () => {
  opened();
  socket().say({ t: 'reconnect', d: { after_ms: 1234 } });
  socket().drop(4000, 'drain');
  mock.timers.tick(1233);
  assert.equal(sockets.length, 1);
  mock.timers.tick(1);
  assert.equal(sockets.length, 2);
});

test('4013 waits as long as the reason says', () => {
  opened();
  socket().drop(4013, 'retry=5000');
  mock.timers.tick(4999);
  assert.equal(sockets.length, 1);
  mock.timers.tick(1);
  assert.equal(sockets.length, 2);
});

test('4506 is the end', async () => {
  const c = opened();
  const p = c.request('stats');
  socket().drop(4506, 'replaced');
  await assert.rejects(p, { code: 'closed' });
  assert.equal(states.at(-1), 'closed replaced');
  mock.timers.tick(60_000);
  assert.equal(sockets.length, 1);
  await assert.rejects(c.request('stats'), { code: 'closed' });
});

test('close says bye', () => {
  const c = opened();
  const s = socket();
  c.close();
  assert.equal(s.sent.at(-1).t, 'bye');
  assert.equal(s.closedWith, 1000);
  assert.equal(states.at(-1), 'closed bye');
});

test('back-off grows while it fails and starts anew after a minute of connection', () => {
  const c = opened({ random: () => 1 });
  const wait = () => {
    const n = sockets.length;
    let ms = 0;
    while (sockets.length === n) {
      mock.timers.tick(100);
      ms += 100;
    }
    return ms;
  };
  const resume = () => {
    socket().open();
    socket().resumed();
  };
  socket().drop(1006);
  assert.equal(wait(), 500);
  resume();
  socket().drop(1006);
  assert.equal(wait(), 1000);
  resume();
  for (let s = 0; s < 60; s++) {
    mock.timers.tick(1000);
    socket().say({ t: 'ping' });
  }
  socket().drop(1006);
  assert.equal(wait(), 500);
  assert.equal(c.status, 'reconnecting');
});

test('a refused upgrade is looked into: origin ends it, Retry-After is kept', async () => {
  const answer = (/** @type {number} */ status, /** @type {string} */ code, /** @type {string} */ after) => async () => ({
    ok: false, status, json: async () => ({ code }), headers: new Map([['Retry-After', after]]),
  });
  connect({ fetch: answer(503, 'unavailable', '7') });
  socket().drop(1006);
  await settle();
  assert.equal(states.at(-1), 'connecting unavailable');
  mock.timers.tick(6999);
  assert.equal(sockets.length, 1);
  mock.timers.tick(1);
  assert.equal(sockets.length, 2);

  connect({ fetch: answer(403, 'origin', '0') });
  socket().drop(1006);
  await settle();
  assert.equal(states.at(-1), 'closed origin');
});

test('a page that was reloaded resumes fresh, once', () => {
  const session = memoryStore();
  session.set(`rondo.resume ${url}`, JSON.stringify({ token: 'OLD', ttl: 30000, at: Date.now() - 1000 }));
  connect({ session });
  assert.equal(session.get(`rondo.resume ${url}`), null);
  socket().open();
  assert.deepEqual(socket().sent[0].d, { token: 'OLD', seq: 0, fresh: true });
  socket().resumed({ seq: 12, state: { user: {}, limits: {}, pools: [], features: [], match: null, room: null } });
  socket().say({ t: 'x', seq: 13, d: {} });
  socket().drop(1006);
  mock.timers.tick(500);
  socket().open();
  assert.deepEqual(socket().sent[0].d, { token: 'T2', seq: 13, fresh: false });
});

test('a token that must have expired is not tried', () => {
  const session = memoryStore();
  session.set(`rondo.resume ${url}`, JSON.stringify({ token: 'OLD', ttl: 30000, at: Date.now() - 31_000 }));
  connect({ session });
  socket().open();
  assert.equal(socket().sent[0].t, 'hello');
});

test('a socket that never opens is given up', async () => {
  connect();
  mock.timers.tick(10_000);
  await settle();
  mock.timers.tick(500);
  assert.equal(sockets.length, 2);
});

/** Gives the page a window for one test. @param {any} t */
function window(t) {
  const target = new EventTarget();
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target), removeEventListener: target.removeEventListener.bind(target) });
  t.after(() => {
    // @ts-ignore
    delete globalThis.addEventListener;
    // @ts-ignore
    delete globalThis.removeEventListener;
  });
  return (/** @type {string} */ type) => target.dispatchEvent(new Event(type));
}

test('offline gives the socket up at once, online makes the next one at once', async (t) => {
  const tell = window(t);
  const c = opened({ random: () => 1 });
  tell('offline');
  assert.equal(states.at(-1), 'reconnecting offline');
  for (let i = 0; i < 3; i++) {
    mock.timers.tick(10_000); // the back-off grows
    socket().drop(1006);
    await settle();
  }
  const tried = sockets.length;
  tell('online');
  assert.equal(sockets.length, tried + 1);
  socket().open();
  socket().resumed();
  assert.equal(c.status, 'open');
  c.close();
});

test('online: a socket that was being made on the network before is given up, and back-off starts anew', async (t) => {
  const tell = window(t);
  const c = opened({ random: () => 1 });
  socket().drop(1006);
  mock.timers.tick(500);
  const old = socket();
  tell('online');
  assert.equal(old.closedWith, 1005);
  assert.equal(sockets.length, 3);
  old.open(); // nobody minds
  socket().drop(1006);
  await settle();
  mock.timers.tick(500);
  assert.equal(sockets.length, 4);
  c.close();
});

test('online without offline: the socket is asked, and replaced if it is silent', (t) => {
  const tell = window(t);
  const c = opened();
  tell('online');
  assert.equal(sockets.length, 1);
  mock.timers.tick(3000);
  assert.equal(states.at(-1), 'reconnecting silent');
  mock.timers.tick(250);
  assert.equal(sockets.length, 2);
  c.close();
});
