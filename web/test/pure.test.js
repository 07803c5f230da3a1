import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownLanguages, sane } from '../page/prefs.js';
import { deviceWords, duration, failWords, reconnectWords, waitingWords } from '../page/words.js';
import { constraints, deviceState, openDevices } from '../sdk/devices.js';
import { bars, judge, read } from '../sdk/stats.js';
import { FakeStream } from './fake-peer.js';

Object.assign(globalThis, { MediaStream: FakeStream });

test('bars: the worst of round trip, loss and a standing picture decides', () => {
  assert.equal(bars(50, 0, false), 4);
  assert.equal(bars(NaN, 0, false), 4);
  assert.equal(bars(250, 0, false), 3);
  assert.equal(bars(50, 0.1, false), 2);
  assert.equal(bars(900, 0, false), 1);
  assert.equal(bars(50, 0, true), 1);
});

test('stats: the selected pair, and rates between two readings', () => {
  const report = (/** @type {number} */ n) => [
    { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
    { id: 'P', type: 'candidate-pair', localCandidateId: 'L', remoteCandidateId: 'R', currentRoundTripTime: 0.05 },
    { id: 'L', type: 'local-candidate', candidateType: 'relay', protocol: 'udp', relayProtocol: 'tls' },
    { id: 'R', type: 'remote-candidate', candidateType: 'srflx' },
    { id: 'I', type: 'inbound-rtp', packetsReceived: 90 * n, packetsLost: 10 * n, bytesReceived: 25_000 * n, framesDecoded: 30 * n },
  ];
  const first = read(report(1), 0);
  assert.deepEqual(first.pair, { local: 'relay', remote: 'srflx', protocol: 'udp', relayProtocol: 'tls' });
  const q = judge(first, read(report(2), 2000), { video: true });
  assert.deepEqual({ ...q, loss: Number(q.loss.toFixed(3)) }, { bars: 2, rtt: 50, loss: 0.1, bitrate: 100_000, fps: 15, relayed: true });
  assert.equal(judge(read(report(2), 0), read(report(1), 2000), { video: false }).bitrate, 0, 'a new connection counts from nothing');
});

test('devices: a missing camera does not take the microphone with it', async () => {
  const track = { kind: 'audio' };
  const media = {
    async getUserMedia(/** @type {any} */ c) {
      if (c.video) throw Object.assign(new Error(), { name: 'NotFoundError' });
      return { getTracks: () => [track] };
    },
  };
  const opened = await openDevices({ audio: true, video: true }, /** @type {any} */ (media));
  assert.equal(opened.audio, 'ok');
  assert.equal(opened.video, 'missing');
  assert.deepEqual(opened.stream.getTracks(), [track]);
  assert.equal((await openDevices({ audio: true, video: false }, undefined)).audio, 'insecure');
});

test('devices: every way to fail has its word', () => {
  for (const [name, state] of Object.entries({ NotAllowedError: 'denied', NotFoundError: 'missing', NotReadableError: 'busy', SecurityError: 'insecure' })) {
    assert.equal(deviceState({ name }), state);
  }
  assert.deepEqual(constraints({ audio: false, video: true, camera: 'c' }).audio, false);
});

test('preferences: only what has the right shape is taken', () => {
  const p = sane({ name: 7, tags: ['jazz', 3], mode: 'smell', theme: 'dark', languages: ['en'], low: 'yes', extra: 1 });
  assert.equal(p.name, '');
  assert.equal(p.tags, null);
  assert.equal(p.mode, 'video');
  assert.equal(p.theme, 'dark');
  assert.deepEqual(p.languages, ['en']);
  assert.equal(p.low, false);
  assert.ok(!('extra' in p));
  assert.equal(sane(null).tags, null);
  assert.deepEqual(sane({ tags: [] }).tags, []);
});

test('languages: primary ones, twice at most, no doubles', () => {
  assert.deepEqual(ownLanguages(['en-GB', 'en', 'de-AT', 'fr']), ['en', 'de']);
});

test('words: honest about waiting', () => {
  const w = { pool: 'video', waited_ms: 0, reach: /** @type {const} */ ('anyone'), next: null, waiting: 4, estimate_ms: null };
  assert.equal(waitingWords(w), '3 other people are searching now.');
  assert.equal(waitingWords({ ...w, estimate_ms: 8000 }), '3 other people are searching now. It usually takes about 8 s.');
  assert.match(waitingWords({ ...w, waiting: 1, estimate_ms: 8000 }), /^Nobody else/);
  assert.equal(duration(150_000), '3 min');
});

test('words: who is offline is not told that the call goes on', () => {
  assert.match(reconnectWords('call', true), /^You are offline/);
  assert.match(reconnectWords('call', false), /^Reconnecting to Rondo/);
  assert.match(reconnectWords('search', false), /place is kept/);
  assert.equal(reconnectWords('landing', true), '');
});

test('words: every reason of a failure says what to do', () => {
  for (const reason of /** @type {const} */ (['ice-timeout', 'ice-disconnected', 'dtls', 'media-denied', 'no-turn', 'peer-left', 'other', ''])) {
    const { title, words } = failWords(reason, 'Bo');
    assert.ok(title && words.length > 20, reason);
  }
  assert.equal(failWords('no-turn', 'Bo').relay, false);
  assert.equal(deviceWords('ok', 'ok'), '');
  assert.equal(deviceWords('ok', 'off'), '');
});
