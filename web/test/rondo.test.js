import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Rondo, memoryStore } from '../sdk/rondo.js';
import { FakePeer, FakeStream, peers } from './fake-peer.js';
import { FakeSocket, settle, sockets } from './fake-socket.js';

Object.assign(globalThis, { MediaStream: FakeStream });

/** @returns {FakeSocket} */
const socket = () => /** @type {FakeSocket} */ (sockets.at(-1));
const found = (you = '1') => ({ pool: 'text', mode: 'text', you, peer: { id: you === '1' ? '2' : '1', name: 'Bo', since: 1 }, offerer: true, polite: false, shared: {}, relay_only: false, waited_ms: 5 });
const waiting = { pool: 'text', waited_ms: 0, reach: 'anyone', next: null, waiting: 1, estimate_ms: null };
const named = (/** @type {any} */ more) => ({ room: 'k1', kind: 'named', name: 'Monday', mode: 'text', capacity: 6, you: '1', peers: [], relay_only: false, chat: { off: 0, messages: [], more: false }, ...more });

/** @type {Rondo[]} */
const clients = [];

/** @param {any} [options] */
async function client(options = {}) {
  const rondo = new Rondo({ url: 'wss://x/ws', name: 'Ann', storage: { session: memoryStore(), local: memoryStore() }, WebSocket: /** @type {any} */ (FakeSocket), fetch: /** @type {any} */ (async () => { throw new Error(); }), random: () => 0, ...options });
  clients.push(rondo);
  const open = rondo.open();
  socket().open();
  socket().welcome();
  await open;
  return rondo;
}

/** Answers the last request of this type. @param {string} t @param {any} d */
async function answer(t, d = {}) {
  await settle();
  socket().say({ t: 'ok', id: socket().last(t).id, d });
  await settle();
}

beforeEach(() => {
  sockets.length = 0;
  mock.timers.reset();
});

afterEach(() => {
  for (const c of clients.splice(0)) c.close();
});

test('the guest token is kept and shown at the next visit', async () => {
  const storage = { session: memoryStore(), local: memoryStore() };
  await client({ storage });
  await client({ storage });
  assert.equal(socket().last('hello').d.guest, 'G');
});

test('find, waiting, found', async () => {
  const rondo = await client();
  /** @type {any[]} */
  const seen = [];
  rondo.on('found', ({ room }) => seen.push(room.id));
  const p = rondo.find({ pool: 'text', tags: ['jazz'] });
  await answer('match.find', waiting);
  assert.deepEqual((await p)?.reach, 'anyone');
  socket().say({ t: 'match.waiting', d: { ...waiting, waiting: 4 } });
  assert.equal(rondo.search?.waiting, 4);
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found() });
  assert.deepEqual(seen, ['k1']);
  assert.equal(rondo.search, null);
  assert.equal(rondo.room?.peers.get('2')?.name, 'Bo');
});

test('found may overtake the reply', async () => {
  const rondo = await client();
  const p = rondo.find();
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found() });
  await answer('match.find', waiting);
  await p;
  assert.equal(rondo.search, null);
  assert.equal(rondo.room?.id, 'k1');
});

test('somebody found while cancelling is left again', async () => {
  const rondo = await client();
  const p = rondo.find();
  await answer('match.find', waiting);
  await p;
  const c = rondo.cancel();
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found() });
  assert.equal(socket().last('room.leave').room, 'k1');
  await answer('match.cancel');
  await c;
  assert.equal(rondo.room, null);
});

test('next ends the room at once and waits when it is too fast', async () => {
  const rondo = await client();
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found() });
  const room = rondo.room;
  const p = rondo.next();
  assert.equal(room?.ended, 'next');
  socket().say({ t: 'err', id: socket().last('match.next').id, e: { code: 'rate_limited', msg: '', retry_ms: 5 } });
  await new Promise((r) => setTimeout(r, 20));
  await answer('match.next', waiting);
  await p;
  assert.equal(socket().sent.filter((m) => m.t === 'match.next').length, 2);
  assert.equal(rondo.search?.reach, 'anyone');
});

test('a matched room ends when the other one leaves; next is then a plain search', async () => {
  const rondo = await client();
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found() });
  const room = rondo.room;
  socket().say({ t: 'peer.left', seq: 2, room: 'k1', d: { peer: '2', reason: 'next' } });
  assert.equal(room?.ended, 'peer-next');
  assert.equal(rondo.room, null);
  const p = rondo.next();
  await answer('match.find', waiting);
  await p;
});

test('a stranger’s room is not ours', async () => {
  const rondo = await client();
  socket().say({ t: 'match.found', seq: 1, room: 'k2', d: found() });
  socket().say({ t: 'chat', room: 'k1', d: { off: 1, from: '2', name: 'x', cid: 'c', text: 'old', at: 1 } });
  assert.deepEqual(rondo.room?.chat.messages, []);
});

test('peers come, go away, come back and are renamed', async () => {
  const rondo = await client();
  const p = rondo.joinRoom('k1', 'secret');
  await settle();
  assert.deepEqual(socket().last('room.join').d, { passcode: 'secret' });
  await answer('room.join', named({ you: '2', peers: [{ id: '1', name: 'Bo', since: 1, state: 'here' }] }));
  const room = await p;
  /** @type {string[]} */
  const seen = [];
  room.on('joined', (x) => seen.push(`joined ${x.name}`));
  room.on('away', (x) => seen.push(`away ${x.name}`));
  room.on('back', ({ peer, fresh }) => seen.push(`back ${peer.name} ${fresh}`));
  room.on('updated', (x) => seen.push(`updated ${x.name}`));
  room.on('left', ({ peer, reason }) => seen.push(`left ${peer.name} ${reason}`));
  let seq = 0;
  const push = (/** @type {string} */ t, /** @type {any} */ d) => socket().say({ t, seq: ++seq, room: 'k1', d });
  push('peer.joined', { peer: { id: '3', name: 'Cy', since: 2 } });
  push('peer.reconnecting', { peer: '1' });
  push('peer.back', { peer: '1', fresh: true });
  push('peer.updated', { peer: { id: '1', name: 'Bob', since: 1 } });
  push('peer.left', { peer: '3', reason: 'left' });
  assert.deepEqual(seen, ['joined Cy', 'away Bo', 'back Bo true', 'updated Bob', 'left Cy left']);
  assert.equal(room.offers('1'), false);
  assert.equal(room.offers('3'), true);
  assert.equal(room.offers('10'), true);
  assert.equal(rondo.room, room);
});

test('a lost session takes up the search again', async () => {
  const rondo = await client();
  const p = rondo.find({ pool: 'text' });
  await answer('match.find', waiting);
  await p;
  socket().drop(1006);
  await new Promise((r) => setTimeout(r, 5));
  socket().open();
  socket().say({ t: 'err', id: socket().last('resume').id, e: { code: 'resume_expired', msg: '' } });
  socket().welcome();
  await answer('match.find', waiting);
  assert.equal(rondo.search?.pool, 'text');
});

test('a lost session comes back to a named room as a new member', async () => {
  const rondo = await client();
  const p = rondo.createRoom({ passcode: 's' });
  await answer('room.create', named({}));
  const room = await p;
  /** @type {any[]} */
  const resets = [];
  room.on('reset', (s) => resets.push(s.you));
  socket().drop(1006);
  await new Promise((r) => setTimeout(r, 5));
  socket().open();
  socket().say({ t: 'err', id: socket().last('resume').id, e: { code: 'resume_expired', msg: '' } });
  socket().welcome();
  await settle();
  assert.deepEqual(socket().last('room.join').d, { passcode: 's' });
  await answer('room.join', named({ you: '4' }));
  assert.deepEqual(resets, ['4']);
  assert.equal(room.you, '4');
  assert.equal(rondo.room, room);
});

test('a lost session ends a matched room', async () => {
  const rondo = await client();
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found() });
  const room = rondo.room;
  socket().drop(1006);
  await new Promise((r) => setTimeout(r, 5));
  socket().open();
  socket().say({ t: 'err', id: socket().last('resume').id, e: { code: 'resume_expired', msg: '' } });
  socket().welcome();
  await settle();
  assert.equal(room?.ended, 'lost');
});

test('a fresh resume brings room, chat and match back', async () => {
  const session = memoryStore();
  session.set('rondo.resume wss://x/ws', JSON.stringify({ token: 'OLD', ttl: 30000, at: Date.now() }));
  const rondo = new Rondo({ url: 'wss://x/ws', storage: { session, local: memoryStore() }, WebSocket: /** @type {any} */ (FakeSocket) });
  clients.push(rondo);
  /** @type {any[]} */
  const sessions = [];
  rondo.on('session', (e) => sessions.push(e));
  const open = rondo.open();
  socket().open();
  const chat = { off: 1, messages: [{ off: 1, from: '2', name: 'Bo', cid: 'c', text: 'hi', at: 1 }], more: false };
  const state = { user: { id: 'g', name: 'Ann', guest: true }, limits: {}, pools: [], features: [], match: null, room: named({ kind: 'matched', capacity: 2, peers: [{ id: '2', name: 'Bo', since: 1, state: 'here' }], chat, match: found() }) };
  socket().resumed({ seq: 3, state });
  await open;
  assert.deepEqual(sessions, [{ fresh: true, reset: false }]);
  assert.equal(rondo.room?.match?.peer.name, 'Bo');
  assert.equal(rondo.room?.chat.messages[0].text, 'hi');
  assert.equal(rondo.room?.offers('2'), true);
});

test('a search that is asked for while the connection is lost is not given up', async () => {
  const rondo = await client();
  const p = rondo.find({ pool: 'text' });
  await settle();
  /** @type {any[]} */
  const told = [];
  rondo.on('waiting', (w) => told.push(w));
  socket().drop(1006);
  await new Promise((r) => setTimeout(r, 5));
  socket().open();
  socket().resumed({ seq: 0, state: { user: { id: 'g', name: 'Ann', guest: true }, limits: {}, pools: [], features: [], match: null, room: null } });
  await answer('match.find', waiting);
  assert.equal((await p)?.reach, 'anyone');
  assert.equal(rondo.search?.reach, 'anyone');
  assert.equal(told.includes(null), false);
});

test('ICE credentials are asked for once at a time, and not too often', async (t) => {
  const rondo = await client();
  assert.equal((await rondo.ice())?.ttl_ms, 600000);
  assert.equal(socket().last('ice'), undefined);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 301_000 });
  const both = Promise.all([rondo.ice(), rondo.ice(true)]);
  await settle();
  assert.equal(socket().sent.filter((m) => m.t === 'ice').length, 1);
  await answer('ice', { servers: [{ urls: ['turn:x'] }], ttl_ms: 600000, policy: 'all' });
  const [a, b] = await both;
  assert.equal(a, b);
  assert.equal(a?.servers.length, 1);
});

test('block ends a matched room', async () => {
  const rondo = await client();
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found() });
  const room = /** @type {any} */ (rondo.room);
  const p = room.block('2');
  await answer('block');
  await p;
  assert.equal(room.ended, 'left');
  assert.equal(rondo.room, null);
});

test('a call that loses its peer asks whether the server is still there', async () => {
  const rondo = await client();
  socket().say({ t: 'match.found', seq: 1, room: 'k1', d: { ...found(), mode: 'video', ice: { servers: [], ttl_ms: 60_000, policy: 'all' } } });
  rondo.room?.startCall({ RTCPeerConnection: /** @type {any} */ (FakePeer) });
  await settle();
  const pc = /** @type {FakePeer} */ (peers.at(-1));
  pc.become('connected');
  assert.equal(socket().last('ping'), undefined);
  pc.become('disconnected');
  assert.ok(socket().last('ping'));
});

test('a guest becomes a user on the open socket', async () => {
  const storage = { session: memoryStore(), local: memoryStore() };
  const rondo = await client({ storage });
  assert.equal(rondo.guest, 'G');
  /** @type {any[]} */
  const seen = [];
  rondo.on('user', (u) => seen.push(u.name));
  const done = rondo.authenticate('TICKET');
  await answer('auth', { user: { id: 'g_1', name: 'Ann B', guest: false } });
  await done;
  assert.deepEqual(socket().last('auth').d, { auth: 'TICKET' });
  assert.deepEqual([rondo.user?.name, rondo.user?.guest, seen, sockets.length], ['Ann B', false, ['Ann B'], 1]);
  assert.equal(rondo.guest, '');
  assert.equal(storage.local.get('rondo.guest wss://x/ws'), null, 'whoever comes after logging out is somebody else');
});

test('restart begins a new session, in a search and after the end', async () => {
  const rondo = await client();
  const p = rondo.find({ pool: 'text' });
  await answer('match.find', waiting);
  await p;
  const first = socket();
  rondo.restart('Bea');
  assert.deepEqual([first.sent.at(-1).t, first.closedWith], ['bye', 1000]);
  socket().open();
  assert.equal(socket().last('hello').d.name, 'Bea');
  assert.equal(socket().last('resume'), undefined);
  socket().welcome();
  await settle();
  assert.equal(socket().last('match.find').d.pool, 'text', 'it searches on');
  socket().drop(4500, 'auth');
  assert.equal(rondo.status, 'closed');
  rondo.restart();
  socket().open();
  socket().welcome({ user: { id: 'u_1', name: 'Ann', guest: false }, guest: undefined });
  assert.deepEqual([rondo.status, rondo.user?.id], ['open', 'u_1']);
});

test('a connection waits for what must be done before it', async () => {
  /** @type {(() => void)[]} */
  const ready = [];
  const rondo = new Rondo({ url: 'wss://x/ws', storage: { session: memoryStore(), local: memoryStore() }, WebSocket: /** @type {any} */ (FakeSocket), prepare: () => (ready.length ? null : new Promise((r, fail) => ready.push(() => fail(new Error('away'))))) });
  clients.push(rondo);
  rondo.open().catch(() => {}); // closed by the test
  await settle();
  assert.equal(sockets.length, 0);
  ready[0]();
  await settle();
  assert.equal(sockets.length, 1, 'what fails does not keep it away');
  rondo.restart();
  assert.equal(sockets.length, 2, 'nothing to wait for');
});
