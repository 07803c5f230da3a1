import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { label, origin } from '../sdk/sdp.js';
import { FakePeer, FakeStream, peers } from './fake-peer.js';

Object.assign(globalThis, { MediaStream: FakeStream });
const { Link } = await import('../sdk/link.js');

/** @type {any[]} */
let open = [];

/**
 * Two links and the wire between them. The wire keeps order, and can be held
 * up to make both sides act at the same moment.
 */
function wire() {
  /** @type {any} */
  const w = { held: false, queue: [], log: [], reachable: true };
  const make = (/** @type {boolean} */ offers) => {
    const link = new Link({
      offers,
      relay: false,
      kinds: ['audio', 'video'],
      track: () => null,
      ice: async () => ({ servers: [], ttl_ms: 1000, policy: 'all' }),
      signal: (kind, d) => {
        w.log.push(`${offers ? 'a' : 'b'} ${kind}`);
        w.queue.push({ to: offers ? 'b' : 'a', kind, d: structuredClone(d) });
        if (!w.held) setImmediate(() => w.flush());
      },
      reachable: () => w.reachable,
      RTCPeerConnection: /** @type {any} */ (FakePeer),
    });
    open.push(link);
    return link;
  };
  w.a = make(true);
  w.b = make(false);
  w.flush = () => {
    for (const m of w.queue.splice(0)) w[m.to].signalled(m.kind, m.d);
  };
  return w;
}

/** Lets everything that can happen now happen. */
async function settle(rounds = 60) {
  for (let i = 0; i < rounds; i++) await new Promise((r) => setImmediate(r));
}

/** @param {() => boolean} cond @param {string} what */
async function until(cond, what) {
  for (const end = Date.now() + 8000; Date.now() < end; ) {
    if (cond()) return;
    await new Promise((r) => setTimeout(r, 5));
  }
  assert.fail(`waited in vain: ${what}`);
}

/** The one pair of connections that lives, and agrees. @param {any} w */
async function connected(w) {
  await until(() => w.a.state === 'connected' && w.b.state === 'connected', 'both connected');
  await settle();
  const live = peers.filter((p) => !p.closed);
  assert.equal(live.length, 2, 'no connection is left over');
  assert.deepEqual(live.map((p) => p.signalingState), ['stable', 'stable']);
  assert.equal(live[0].remoteDescription.sdp, live[1].localDescription.sdp);
  assert.equal(live[1].remoteDescription.sdp, live[0].localDescription.sdp);
  return live;
}

beforeEach(() => {
  peers.length = 0;
});
afterEach(() => {
  for (const link of open.splice(0)) link.close();
});

test('sdp: the origin names the connection and the description', () => {
  const sdp = 'v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\n';
  assert.deepEqual(origin(sdp), { session: '4611731400430051336', version: '2' });
  assert.equal(label(sdp), '4611731400430051336 2');
  assert.deepEqual(origin(undefined), { session: '', version: '' });
});

test('one side offers, the other answers; candidates reach the right connection', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a, b] = await connected(w);
  assert.deepEqual(w.log.filter((/** @type {string} */ l) => !l.includes('candidate')), ['a offer', 'b answer']);
  await until(() => a.candidates.length > 0 && b.candidates.length > 0, 'candidates');
});

test('candidates that overtake the offer wait for it', async () => {
  const w = wire();
  await w.b.start();
  w.b.signalled('candidate', { candidate: { candidate: 'x', usernameFragment: `${peers.length + 1}.0` } });
  await settle();
  await w.a.start();
  await connected(w);
});

test('glare: both restart in the same moment', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a, b] = await connected(w);
  w.held = true;
  a.restartIce();
  b.restartIce();
  await settle();
  assert.deepEqual([a.signalingState, b.signalingState], ['have-local-offer', 'have-local-offer']);
  w.held = false;
  w.flush();
  await settle(200);
  await connected(w);
});

test('the polite side asks for a restart, the impolite one makes it', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a, b] = await connected(w);
  w.log.length = 0;
  a.become('disconnected');
  b.become('disconnected');
  w.b.restart();
  await settle(200);
  await connected(w);
  assert.deepEqual(w.log.filter((/** @type {string} */ l) => !l.includes('candidate')), ['b restart', 'a offer', 'b answer']);
});

test('who was away finds several asks for a restart, and makes one', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a] = await connected(w);
  a.become('disconnected');
  w.log.length = 0;
  w.held = true;
  w.a.restart();
  for (let i = 0; i < 3; i++) w.a.signalled('restart', {});
  await settle();
  assert.deepEqual(w.log.filter((/** @type {string} */ l) => !l.includes('candidate')), ['a offer']);
  w.held = false;
  w.flush();
  await settle(200);
  await connected(w);
});

test('a restart that was only a precaution is not shown, and ends', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  await connected(w);
  /** @type {string[]} */
  const states = [];
  w.a.on('state', (/** @type {any} */ e) => states.push(e.state));
  w.b.on('state', (/** @type {any} */ e) => states.push(e.state));
  for (let i = 0; i < 3; i++) {
    w.a.restart();
    await settle(100);
    await new Promise((r) => setTimeout(r, 750));
  }
  assert.deepEqual(states, []);
  await connected(w);
});

for (const who of ['a', 'b']) {
  test(`${who} lost its memory: a new connection on both sides`, async () => {
    const w = wire();
    await Promise.all([w.a.start(), w.b.start()]);
    const before = await connected(w);
    const other = who === 'a' ? 'b' : 'a';
    // The reloaded page has a new Link; the other side is told.
    const old = w[who];
    const fresh = wire();
    fresh[other].close();
    old.close();
    w[who] = fresh[who];
    fresh.flush = () => {
      w.queue.push(...fresh.queue.splice(0));
      w.flush();
    };
    await Promise.all([w[other].renew(), w[who].start()]);
    const after = await connected(w);
    assert.ok(after.every((p) => !before.includes(p)));
  });

  test(`${who} tries again after a failure, by itself`, async () => {
    const w = wire();
    await Promise.all([w.a.start(), w.b.start()]);
    const before = await connected(w);
    await w[who].retry({ relay: true });
    await settle(200);
    const after = await connected(w);
    assert.ok(after.every((p) => !before.includes(p)), 'the other side noticed the new connection by its offer');
    assert.ok(after.some((p) => p.config.iceTransportPolicy === 'relay'));
  });
}

test('both try again in the same moment', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  await connected(w);
  w.held = true;
  await Promise.all([w.a.retry(), w.b.retry()]);
  await settle();
  w.held = false;
  w.flush();
  await settle(200);
  await connected(w);
});

test('an answer to an older offer changes nothing', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a] = await connected(w);
  w.held = true;
  w.a.restart();
  await settle();
  w.a.signalled('answer', { sdp: a.remoteDescription.sdp, re: 'another offer' });
  await settle();
  assert.equal(a.signalingState, 'have-local-offer');
  w.held = false;
  w.flush();
  await settle(200);
  await connected(w);
});

test('no restart while signals cannot reach the other side', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a, b] = await connected(w);
  w.log.length = 0;
  w.reachable = false;
  a.become('failed');
  b.become('failed');
  await settle();
  assert.deepEqual(w.log, []);
  assert.equal(w.a.state, 'reconnecting');
  w.reachable = true;
  w.a.reachableAgain();
  w.b.reachableAgain();
  await settle(200);
  await connected(w);
});

test('what ICE calls disconnected is told at once', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a] = await connected(w);
  a.become('disconnected');
  assert.equal(w.a.state, 'reconnecting');
  a.become('connected');
  assert.equal(w.a.state, 'connected');
});

test('silence is noticed before ICE does, told, and mended by one restart', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a, b] = await connected(w);
  const flow = setInterval(() => (b.received++, w.aHears && a.received++), 100);
  try {
    w.aHears = true;
    await until(() => w.a.quality?.bars === 4 && a.received > 15, 'a reading');
    w.log.length = 0;
    w.aHears = false;
    await until(() => w.a.state === 'reconnecting', 'silence is told');
    assert.equal(w.a.quality.bars, 0);
    await until(() => w.a.state === 'connected', 'restarted');
    const restarts = w.log.filter((/** @type {string} */ l) => l === 'a offer').length;
    assert.equal(restarts, 1);
    await new Promise((r) => setTimeout(r, 4500)); // two readings: the other side just does not send
    assert.equal(w.log.filter((/** @type {string} */ l) => l === 'a offer').length, 1);
    assert.equal(w.b.state, 'connected');
  } finally {
    clearInterval(flow);
  }
});

for (const who of ['a', 'b']) {
  test(`${who} waits for an answer as long as the server may take to notice that nobody is there`, async (t) => {
    const w = wire();
    await Promise.all([w.a.start(), w.b.start()]);
    await connected(w);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    w.held = true;
    for (const p of peers) p.become('failed');
    const end = async (/** @type {number} */ seconds) => {
      for (let s = 0; s < seconds; s++) {
        t.mock.timers.tick(1000);
        await settle(10);
      }
    };
    await end(36);
    assert.equal(w[who].state, 'reconnecting');
    w.queue.length = 0;
    await end(40);
    assert.equal(w[who].state, 'failed');
  });
}

test('a call that failed while the other side was away is taken up when it is back', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a] = await connected(w);
  a.iceConnectionState = 'failed';
  w.held = true;
  await until(() => w.a.state === 'failed' || (a.become('failed'), w.a.restart(), false), 'failed');
  w.queue.length = 0;
  w.held = false;
  w.a.reachableAgain();
  w.b.reachableAgain();
  await settle(200);
  await connected(w);
});

test('DTLS that fails is named', async () => {
  const w = wire();
  /** @type {any[]} */
  const states = [];
  w.a.on('state', (/** @type {any} */ e) => states.push(e));
  w.held = true;
  await w.a.start();
  await settle();
  const [a] = peers;
  a.iceConnectionState = 'connected';
  a.oniceconnectionstatechange();
  a.become('failed');
  assert.deepEqual(states.at(-1), { state: 'failed', reason: 'dtls' });
});

test('a side that gave up is not revived by the other’s automatic restart', async () => {
  const w = wire();
  await Promise.all([w.a.start(), w.b.start()]);
  const [a] = await connected(w);
  const offer = { sdp: a.remoteDescription.sdp };
  a.iceConnectionState = 'failed';
  for (let i = 0; i < 4; i++) w.a.restart(), a.become(i % 2 ? 'failed' : 'disconnected');
  w.held = true;
  await until(() => w.a.state === 'failed' || (w.a.restart(), false), 'failed');
  w.a.signalled('offer', offer);
  w.a.signalled('restart', {});
  await settle();
  assert.equal(w.a.state, 'failed');
});
