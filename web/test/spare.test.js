import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Marks } from '../sdk/marks.js';
import { Rondo, memoryStore } from '../sdk/rondo.js';
import { FakePeer, FakeStream, peers } from './fake-peer.js';
import { FakeSocket, settle, sockets } from './fake-socket.js';

Object.assign(globalThis, { MediaStream: FakeStream });

/** @returns {FakeSocket} */
const socket = () => /** @type {FakeSocket} */ (sockets.at(-1));
const waiting = { pool: 'video', waited_ms: 0, reach: 'anyone', next: null, waiting: 1, estimate_ms: null };
const ice = { servers: [{ urls: ['turn:x'] }], ttl_ms: 600_000, policy: 'all' };
const found = (/** @type {any} */ more) => ({ pool: 'video', mode: 'video', you: '1', peer: { id: '2', name: 'Bo', since: 1 }, offerer: true, polite: false, shared: {}, relay_only: false, waited_ms: 5, ice, ...more });
const call = { RTCPeerConnection: /** @type {any} */ (FakePeer) };
const signals = () => socket().sent.filter((m) => m.t === 'signal').map((m) => m.kind);
const live = () => peers.filter((p) => !p.closed);

/** @type {Rondo} */
let rondo;

beforeEach(async () => {
  sockets.length = peers.length = 0;
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
  rondo = new Rondo({ url: 'wss://x/ws', storage: { session: memoryStore(), local: memoryStore() }, WebSocket: /** @type {any} */ (FakeSocket), random: () => 0 });
  const open = rondo.open();
  socket().open();
  socket().welcome({ ice, pools: [{ name: 'video', mode: 'video', traits: [], relay_only: false, schedule: [] }, { name: 'text', mode: 'text', traits: [], relay_only: false, schedule: [] }] });
  await open;
});

afterEach(() => {
  rondo.close();
  mock.timers.reset();
});

/** Searches, and is told to wait for so long. @param {number} ms @param {any} [wish] */
async function wait(ms, wish) {
  const asked = rondo.find(wish, { call, since: performance.now() });
  await settle();
  socket().say({ t: 'ok', id: socket().last('match.find').id, d: waiting });
  await asked;
  mock.timers.tick(ms);
  await settle();
}

/** Time goes by, and the server says so now and then. @param {number} ms */
async function pass(ms) {
  for (; ms > 0; ms -= 20_000) {
    mock.timers.tick(20_000);
    socket().say({ t: 'ping' });
    await settle();
  }
}

/** Lets a peer connection notice that it must negotiate, and do so. */
async function turns() {
  for (let i = 0; i < 10; i++) await new Promise((r) => setImmediate(r));
}

/** @param {any} [more] */
const meet = (more) => socket().say({ t: 'match.found', seq: 1, room: 'k1', d: found(more) });

test('who waited sends the offer in the moment of the match, without another word before', async () => {
  /** @type {any} */
  let seen;
  rondo.on('found', ({ room }) => (seen = room.call));
  await wait(300);
  assert.deepEqual([peers.length, peers[0].signalingState, peers[0].config.iceCandidatePoolSize], [1, 'have-local-offer', 1]);
  assert.deepEqual(signals(), [], 'nobody is told before somebody is there');
  const sent = socket().sent.length;
  meet();
  assert.deepEqual(socket().sent.slice(sent).map((m) => m.kind), ['offer', 'media'], 'at once: no promise was waited for');
  assert.equal(socket().sent[sent].d.sdp, peers[0].localDescription.sdp);
  assert.equal(peers.length, 1);
  assert.equal(seen, rondo.room?.call);
  assert.equal(rondo.room?.startCall(), seen);
});

test('who is found at once answers with the connection that was made meanwhile', async () => {
  rondo.find({}, { call }).catch(() => {});
  await settle();
  assert.deepEqual([peers.length, peers[0].config.iceCandidatePoolSize], [1, 1]);
  meet({ offerer: false });
  socket().say({ t: 'signal', seq: 2, room: 'k1', from: '2', kind: 'offer', d: { sdp: 'v=0\r\no=- 77 2 IN IP4 0.0.0.0\r\na=ufrag:x \r\n' } });
  await settle();
  mock.timers.tick(0);
  assert.deepEqual(signals(), ['media', 'answer', 'candidate'], 'candidates follow at once');
  assert.equal(peers.length, 1);
});

test('an offer that the other side makes takes the place of ours', async () => {
  await wait(300);
  meet({ offerer: false });
  await settle();
  assert.equal(peers[0].closed, true);
  assert.deepEqual(signals(), ['media']);
  assert.equal(live().length, 1);
});

test('who must be relayed sends nothing that was gathered without a relay', async () => {
  await wait(300);
  const before = peers[0].localDescription.sdp;
  meet({ relay_only: true });
  await turns();
  assert.equal(peers[0].closed, true);
  assert.deepEqual(live().map((p) => p.config.iceTransportPolicy), ['relay']);
  assert.ok(!JSON.stringify(socket().sent).includes(JSON.stringify(before).slice(1, -1)));
});

test('who asks for a relay gathers through it only, and goes on with that', async () => {
  await wait(300, { relay: true });
  assert.equal(peers[0].config.iceTransportPolicy, 'relay');
  meet({ relay_only: true });
  assert.equal(signals()[0], 'offer');
  assert.equal(peers.length, 1);
});

test('nothing is held when the search is over', async () => {
  await wait(300);
  const done = rondo.cancel();
  assert.equal(live().length, 0, 'cancelled');
  await settle();
  socket().say({ t: 'ok', id: socket().last('match.cancel').id, d: {} });
  await done;
  await wait(0);
  assert.equal(live().length, 1);
  socket().say({ t: 'match.stopped', seq: 1, d: { reason: 'unavailable', retry_ms: 0 } });
  assert.equal(live().length, 0, 'stopped');
  await wait(0);
  rondo.close();
  assert.equal(live().length, 0, 'closed');
  assert.equal(peers.length, 3);
});

test('relays are let go when nobody comes for a minute, and gathered a few times at most', async () => {
  await wait(300);
  await pass(40_000);
  assert.equal(peers[0].closed, false);
  await pass(20_000);
  assert.equal(peers[0].closed, true);
  assert.deepEqual(live().map((p) => [p.config.iceCandidatePoolSize, p.localDescription]), [[0, null]]);
  await pass(600_000);
  assert.equal(peers.length, 2);
  meet();
  await turns();
  assert.ok(signals().includes('offer'));
  assert.equal(peers.length, 2);
});

test('another network is gathered from anew, but not for ever', async () => {
  const target = new EventTarget();
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target), removeEventListener: target.removeEventListener.bind(target) });
  try {
    await wait(300);
    for (let i = 0; i < 6; i++) {
      target.dispatchEvent(new Event('online'));
      await settle();
      mock.timers.tick(300);
      await settle();
    }
    assert.deepEqual(peers.map((p) => p.config.iceCandidatePoolSize).slice(0, 5), [1, 1, 1, 0, 0]);
    assert.equal(live().length, 1);
    assert.equal(live()[0].localDescription, null);
    rondo.close();
    target.dispatchEvent(new Event('online'));
    await settle();
    assert.equal(live().length, 0);
  } finally {
    Object.assign(globalThis, { addEventListener: undefined, removeEventListener: undefined });
  }
});

test('without a plan, and for texts, nothing is made', async () => {
  rondo.find().catch(() => {});
  await settle();
  rondo.find({ pool: 'text' }, { call }).catch(() => {});
  await settle();
  assert.equal(peers.length, 0);
});

test('marks: steps in their order; what is missing or backwards is left out', () => {
  const m = new Marks();
  for (const [step, at] of /** @type {[import('../sdk/marks.js').Step, number][]} */ ([['click', 10], ['asked', 15.4], ['matched', 5000], ['offer', 5002], ['answer', 5060], ['connected', 5090], ['ice', 5095], ['frame', 5150], ['frame', 9000]])) m.note(step, at);
  assert.deepEqual(m.steps(), { ask: 5, offer: 2, answer: 58, ice: 35, frame: 60, total: 155 });
  assert.equal(performance.getEntriesByName('rondo:frame').length, 1);
  assert.deepEqual(new Marks().steps(), {});
  assert.equal(performance.getEntriesByName('rondo:frame').length, 0, 'of the newest call');
});
