import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import { Notify, notifyWords } from '../page/notify.js';
import { Emitter, RondoError, memoryStore } from '../sdk/rondo.js';

const idOf = (/** @type {string} */ endpoint) => createHash('sha256').update(endpoint).digest('base64url');
const bytes = (/** @type {string} */ s) => new Uint8Array(Buffer.from(s, 'base64url')).buffer;

/** A server's account part, and a browser with its push service. */
function world({ answer = /** @type {NotificationPermission} */ ('granted'), key = 'a2V5' } = {}) {
  const w = { key, asked: 0, registered: /** @type {string[]} */ ([]), devices: /** @type {Map<string, any>} */ (new Map()), refuses: false, subscription: /** @type {any} */ (null), n: 0 };
  class FakeAccount extends Emitter {
    user = /** @type {any} */ (null);
    enter(/** @type {string | null} */ id) {
      this.user = id && { id };
      this.emit('user', this.user);
    }
    async pushKey() {
      return w.key;
    }
    async addPushDevice(/** @type {any} */ s) {
      w.devices.set(idOf(s.endpoint), { ...s, user: this.user.id });
    }
    async removePushDevice(/** @type {string} */ id) {
      if (!w.devices.delete(id)) throw new RondoError('not_found', 'x');
    }
  }
  const account = new FakeAccount();
  const pushManager = {
    getSubscription: async () => w.subscription,
    subscribe: async (/** @type {any} */ o) => {
      assert.equal(o.userVisibleOnly, true);
      if (w.refuses) throw new Error('AbortError');
      const endpoint = `https://push.example/${++w.n}`;
      w.subscription = {
        endpoint, options: { applicationServerKey: bytes(o.applicationServerKey) }, toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh: 'p', auth: 'a' } }),
        unsubscribe: async () => {
          w.subscription = null;
          return true;
        },
      };
      return w.subscription;
    },
  };
  const registration = { pushManager };
  const notification = {
    permission: /** @type {NotificationPermission} */ ('default'),
    requestPermission: async () => {
      w.asked++;
      return (notification.permission = answer);
    },
  };
  const workers = {
    register: async (/** @type {string} */ url) => void w.registered.push(String(url)),
    get ready() {
      return Promise.resolve(registration);
    },
    getRegistration: async () => (w.registered.length ? registration : undefined),
  };
  const browser = /** @type {any} */ ({ workers, notification, push: true, store: memoryStore() });
  return { w, account, browser, notification, visit: () => new Notify(/** @type {any} */ (account), browser) };
}

const settled = () => new Promise((done) => setTimeout(done, 5));

test('nothing is asked of anybody before they switch it on', async () => {
  const { w, account, visit } = world();
  const notify = visit();
  account.enter('ann');
  await settled();
  assert.equal(await notify.state(), 'off');
  assert.deepEqual([w.asked, w.registered, w.devices.size], [0, [], 0]);
  await notify.on();
  assert.deepEqual([w.asked, w.registered], [1, ['/sw.js']]);
  assert.equal(await notify.state(), 'on');
  assert.deepEqual([...w.devices], [[idOf('https://push.example/1'), { endpoint: 'https://push.example/1', keys: { p256dh: 'p', auth: 'a' }, user: 'ann' }]]);
  await notify.off();
  assert.equal(await notify.state(), 'off');
  assert.deepEqual([w.devices.size, w.subscription], [0, null]);
  await notify.off(); // once more is no mistake
});

test('where it cannot be, it is not shown; where people do not want it, it says so', async () => {
  const none = world({ key: '' });
  assert.equal(await none.visit().state(), 'none');
  const old = world();
  old.browser.push = false;
  assert.equal(await old.visit().state(), 'none');
  const no = world({ answer: 'denied' });
  const notify = no.visit();
  no.account.enter('ann');
  await assert.rejects(notify.on(), { code: 'blocked' });
  assert.equal(await notify.state(), 'blocked');
  assert.deepEqual(no.w.registered, []);
  const far = world();
  const offline = far.visit();
  far.account.enter('ann');
  far.w.refuses = true;
  await assert.rejects(offline.on(), { code: 'no_push' });
  assert.equal(await offline.state(), 'off');
  for (const code of ['blocked', 'no_push']) assert.match(notifyWords({ code }), /^[A-Z].*\.$/);
  assert.equal(notifyWords({ code: 'offline' }), '');
});

test('a new visit tells the server again, also with another key', async () => {
  const { w, account, visit } = world();
  const notify = visit();
  account.enter('ann');
  await notify.on();
  w.devices.clear(); // the session ended
  account.enter('ann');
  await settled();
  assert.equal(w.devices.size, 0, 'asked at every change of the profile');
  visit();
  account.enter('ann');
  await settled();
  assert.deepEqual([...w.devices.values()].map((d) => d.endpoint), ['https://push.example/1']);
  w.key = 'b3RoZXI';
  visit();
  account.enter('ann');
  await settled();
  assert.equal(w.subscription.endpoint, 'https://push.example/2');
  assert.ok(w.devices.has(idOf('https://push.example/2')));
});

test('who logs out, and who logs in after somebody else, is told of nothing', async () => {
  for (const next of [null, 'bob']) {
    const { w, account, visit } = world();
    const notify = visit();
    account.enter('ann');
    await notify.on();
    w.devices.clear();
    const again = visit();
    if (next) account.enter(next);
    else await again.follow(null);
    await settled();
    assert.equal(w.subscription, null);
    assert.equal(w.devices.size, 0);
    account.enter('ann');
    await settled();
    assert.equal(await notify.state(), 'off');
  }
});

/** The service worker with its tabs. */
function worker(/** @type {any[]} */ tabs = []) {
  /** @type {Record<string, (e: any) => void>} */
  const on = {};
  const shown = /** @type {any[]} */ ([]);
  const opened = /** @type {string[]} */ ([]);
  const self = {
    addEventListener: (/** @type {string} */ name, /** @type {any} */ f) => (on[name] = f),
    registration: { showNotification: async (/** @type {string} */ title, /** @type {any} */ o) => void shown.push({ title, ...o }) },
    clients: { matchAll: async () => tabs, openWindow: async (/** @type {string} */ url) => void opened.push(url) },
  };
  vm.runInNewContext(readFileSync(new URL('../page/sw.js', import.meta.url), 'utf8'), { self, URL });
  const fire = async (/** @type {string} */ name, /** @type {any} */ e) => {
    let work = Promise.resolve();
    on[name]({ ...e, waitUntil: (/** @type {Promise<void>} */ p) => (work = p) });
    await work;
  };
  return {
    on, shown, opened,
    push: (/** @type {any} */ note) => fire('push', { data: note === undefined ? null : { json: () => (typeof note === 'string' ? JSON.parse(note) : note) } }),
    click: (/** @type {any} */ data) => fire('notificationclick', { notification: { close: () => {}, data } }),
  };
}

const tab = (/** @type {string} */ path, focused = false) => ({ url: `https://rondo.example${path}`, focused, seen: 0, focus() { this.seen++; } });
const note = { room: 'c_1', title: 'Ann', body: 'Hello', url: '/c/c_1' };

test('the worker shows what it is told, and something in any case', async () => {
  const w = worker([tab('/c/c_1'), tab('/c/c_2', true)]);
  assert.deepEqual(Object.keys(w.on).sort(), ['notificationclick', 'push']); // no fetch
  await w.push(note);
  assert.deepEqual({ ...w.shown[0], data: { ...w.shown[0].data } }, { title: 'Ann', body: 'Hello', tag: 'c_1', renotify: true, icon: '/apple-touch-icon.png', data: { url: '/c/c_1' } });
  for (const bad of [undefined, 'no JSON', 'null', '[]', {}, { title: 5, body: null, url: 'https://evil.example/', room: {} }, { url: '//evil.example' }, { url: '/c/c_1/../../x' }]) {
    const one = worker();
    await one.push(bad);
    assert.deepEqual([one.shown[0].title, one.shown[0].body, one.shown[0].data.url, one.shown[0].renotify], ['Rondo', 'A new message', '/c', false], JSON.stringify(bad));
  }
});

test('who looks at the chat is not told', async () => {
  const w = worker([tab('/c/c_1', true)]);
  await w.push(note);
  assert.equal(w.shown.length, 0);
});

test('a click opens the chat, and leaves other tabs alone', async () => {
  const call = tab('/r/abc', true);
  const chat = tab('/c/c_1');
  const w = worker([call, chat]);
  await w.click({ url: '/c/c_1' });
  assert.deepEqual([chat.seen, call.seen, w.opened], [1, 0, []]);
  await w.click({ url: '/c/c_2' });
  await w.click(undefined);
  assert.deepEqual([chat.seen, call.seen, w.opened], [1, 0, ['/c/c_2', '/c']]);
});
