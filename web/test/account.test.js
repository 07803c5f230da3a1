import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Account, RondoError, memoryStore } from '../sdk/rondo.js';

/** @typedef {{status?: number, body?: any, headers?: Record<string, string>}} Answer */
/** @typedef {{method: string, path: string, body: any, headers: Record<string, string>, init: any}} Asked */

const user = { id: 'u_1', email: 'ann@example.org', username: 'ann', name: 'Ann', languages: [], interests: [], roles: ['user'], totp: false, created_at: 1 };
const login = (/** @type {any} */ more = {}) => ({ body: { user, access_expires_at: 600_000, refresh_expires_at: 9e9, ticket: 'T', ...more } });
const problem = (/** @type {number} */ status, /** @type {string} */ code, /** @type {any} */ more = {}) => ({ status, body: { type: `urn:rondo:problem:${code}`, title: 't', status, code, detail: `is ${code}`, ...more } });

/** Locks as a browser has them, for all tabs that share it. */
function fakeLocks() {
  /** @type {Promise<any>} */
  let last = Promise.resolve();
  return /** @type {any} */ ({
    request: (/** @type {string} */ _, /** @type {() => any} */ work) => {
      const mine = last.catch(() => {}).then(work);
      last = mine;
      return mine;
    },
  });
}

/**
 * A server whose answers the test gives.
 * @param {(asked: Asked) => Answer | Error} handle
 */
function server(handle) {
  /** @type {Asked[]} */
  const asked = [];
  let now = 1000;
  const store = memoryStore();
  const locks = fakeLocks();
  const give = async () => ({ rawId: new ArrayBuffer(1), response: {} });
  const credentials = /** @type {any} */ ({ create: give, get: give });
  const fetch = async (/** @type {string} */ url, /** @type {any} */ init) => {
    const a = { method: init.method, path: url.replace('/api/v1', ''), body: init.body ? JSON.parse(init.body) : undefined, headers: init.headers, init };
    asked.push(a);
    const answer = handle(a);
    if (answer instanceof Error) throw answer;
    const { status = 200, body, headers = {} } = answer;
    return new Response(status === 204 ? null : typeof body === 'string' ? body : JSON.stringify(body), { status, headers });
  };
  return {
    asked,
    store,
    tab: () => new Account({ store, locks, credentials, fetch: /** @type {any} */ (fetch), now: () => now }),
    sleep: (/** @type {number} */ ms) => (now += ms),
    count: (/** @type {string} */ path) => asked.filter((a) => a.path === path).length,
  };
}

/** @param {string} code @param {number} [retryMs] */
const fails = (code, retryMs) => (/** @type {unknown} */ err) => {
  assert.ok(err instanceof RondoError, String(err));
  assert.equal(err.code, code);
  if (retryMs !== undefined) assert.equal(err.retryMs, retryMs);
  return true;
};

test('account: registering and the code make who is logged in', async () => {
  const s = server(({ path }) => (path === '/auth/register' ? { status: 202, body: { expires_at: 5 } } : login()));
  const a = s.tab();
  /** @type {any[]} */
  const seen = [];
  a.on('user', (u) => seen.push(u?.name));
  await a.register({ email: 'ann@example.org', username: 'ann', password: 'correct horse', guest: 'G' });
  assert.equal(s.asked[0].method, 'POST');
  assert.equal(s.asked[0].body.guest, 'G');
  assert.match(s.asked[0].headers['Idempotency-Key'], /^[A-Za-z0-9_-]{16,64}$/);
  assert.equal(s.asked[0].init.credentials, 'same-origin');
  assert.equal(a.known, false);
  const l = await a.verify('ann@example.org', '12345678');
  assert.equal(l.ticket, 'T');
  assert.deepEqual([a.user?.name, a.known, a.until, seen], ['Ann', true, 600_000, ['Ann']]);
});

test('account: nothing secret is kept', async () => {
  const s = server(() => login({ access_token: 'SECRET', refresh_token: 'SECRET' }));
  await s.tab().login({ login: 'ann', password: 'SECRET' });
  assert.deepEqual(Object.keys(JSON.parse(s.store.get('rondo.account') ?? '')), ['at', 'until']);
});

test('account: problems become errors with code and retry', async () => {
  /** @type {[Answer | Error, string, number][]} */
  const cases = [
    [problem(429, 'rate_limited', { retry_ms: 1500 }), 'rate_limited', 1500],
    [{ ...problem(503, 'unavailable'), headers: { 'Retry-After': '2' } }, 'unavailable', 2000],
    [{ status: 502, body: '<h1>Bad Gateway</h1>' }, 'unavailable', 0],
    [{ status: 429, body: '', headers: { 'Retry-After': '7' } }, 'rate_limited', 7000],
    [{ status: 418, body: '"tea"' }, 'internal', 0],
    [{ status: 200, body: 'not json' }, 'internal', 0],
    [new TypeError('Failed to fetch'), 'offline', 0],
    [problem(401, 'needs_totp'), 'needs_totp', 0],
  ];
  for (const [answer, code, retry] of cases) {
    const s = server(() => answer);
    await assert.rejects(s.tab().login({ login: 'ann', password: 'x' }), fails(code, retry));
    assert.equal(s.asked.length, 1, 'a login is not tried again by itself');
  }
});

test('account: what may be sent twice is sent again under its key', async () => {
  let first = true;
  const s = server(() => {
    if (!first) return { status: 202, body: { expires_at: 5 } };
    first = false;
    return new TypeError('network');
  });
  await s.tab().resend('ann@example.org');
  assert.equal(s.asked.length, 2);
  assert.equal(s.asked[0].headers['Idempotency-Key'], s.asked[1].headers['Idempotency-Key']);
  await s.tab().resend('ann@example.org');
  assert.notEqual(s.asked[2].headers['Idempotency-Key'], s.asked[0].headers['Idempotency-Key']);
});

test('account: tokens that are over are renewed once, and the request goes on', async () => {
  let good = false;
  const s = server(({ path }) => {
    if (path === '/auth/refresh') {
      good = true;
      return login();
    }
    return good ? { body: user } : problem(401, 'unauthorized');
  });
  const a = s.tab();
  assert.equal((await a.me()).name, 'Ann');
  assert.deepEqual(s.asked.map((q) => q.path), ['/me', '/auth/refresh', '/me']);
});

test('account: a request that stays unauthorized is not asked for ever', async () => {
  const s = server(({ path }) => (path === '/auth/refresh' ? login() : problem(401, 'unauthorized')));
  await assert.rejects(s.tab().devices(), fails('unauthorized'));
  assert.equal(s.asked.length, 3);
});

test('account: a wrong password is no reason to renew', async () => {
  const s = server(() => problem(401, 'credentials'));
  await assert.rejects(s.tab().enrolTotp({ password: 'x' }), fails('credentials'));
  assert.equal(s.asked.length, 1);
});

test('account: a session that ended is forgotten', async () => {
  let ended = false;
  const s = server(({ path }) => (ended ? problem(401, 'unauthorized') : path === '/me' ? { body: user } : login()));
  const a = s.tab();
  await a.login({ login: 'ann', password: 'x' });
  ended = true;
  /** @type {any[]} */
  const seen = [];
  a.on('user', (u) => seen.push(u));
  await assert.rejects(a.me(), fails('unauthorized'));
  assert.deepEqual([a.user, a.known, seen], [null, false, [null]]);
});

test('account: who logs out is on the way out until the answer is there', async () => {
  const s = server(({ path }) => (path === '/auth/logout' ? { status: 204 } : login()));
  const a = s.tab();
  await a.login({ login: 'ann', password: 'x' });
  const done = a.logout();
  assert.ok(a.leaving);
  await a.leaving;
  assert.deepEqual([a.user, a.known], [null, false]);
  await done;
  assert.equal(a.leaving, null);
});

test('account: being offline forgets nobody', async () => {
  let away = false;
  const s = server(() => (away ? new TypeError('network') : login()));
  const a = s.tab();
  await a.login({ login: 'ann', password: 'x' });
  away = true;
  s.sleep(700_000);
  await assert.rejects(async () => a.fresh(), fails('offline'));
  assert.deepEqual([a.user?.name, a.known], ['Ann', true]);
});

test('account: of many tabs one renews', async () => {
  let round = 0;
  const s = server(({ path }) => {
    if (path !== '/auth/refresh') return round > 0 ? { body: user } : problem(401, 'unauthorized');
    round++;
    return login();
  });
  const tabs = Array.from({ length: 20 }, s.tab);
  await Promise.all(tabs.map((t) => t.me()));
  assert.equal(s.count('/auth/refresh'), 1);
});

test('account: the tokens are renewed before they end', async () => {
  const s = server(() => login({ access_expires_at: 1_000_000 }));
  const a = s.tab();
  assert.equal(a.fresh(), null, 'nobody was logged in');
  await a.login({ login: 'ann', password: 'x' });
  assert.equal(a.fresh(), null, 'they hold');
  s.sleep(980_000);
  await a.fresh();
  assert.equal(s.count('/auth/refresh'), 1);
});

test('account: a browser that never was logged in asks nothing', async () => {
  const s = server(() => problem(401, 'unauthorized'));
  assert.equal(await s.tab().restore(), null);
  assert.equal(s.asked.length, 0);
});

test('account: the profile is changed as it was read', async () => {
  let version = 3;
  const s = server(({ method, headers }) => {
    if (method === 'GET') return { body: user, headers: { ETag: `"${version}"` } };
    if (headers['If-Match'] !== `"${version}"`) return problem(412, 'changed');
    version++;
    return { body: { ...user, name: 'Ann B' }, headers: { ETag: `"${version}"` } };
  });
  const a = s.tab();
  assert.equal((await a.update({ name: 'Ann B' })).name, 'Ann B');
  await a.update({ name: 'Ann B' });
  assert.deepEqual(s.asked.map((q) => q.method), ['GET', 'PATCH', 'PATCH']);
  version = 9;
  await assert.rejects(a.update({ name: 'Ann C' }), fails('changed'));
});

test('account: every path is of the OpenAPI document', async () => {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(new URL('../../docs/openapi.yaml', import.meta.url), 'utf8');
  /** @type {Set<string>} */
  const routes = new Set();
  let path = '';
  for (const line of text.split('\n')) {
    path = /^ {2}\/api\/v1(\S+):$/.exec(line)?.[1] ?? path;
    const method = /^ {4}(get|post|patch|delete|put):$/.exec(line)?.[1];
    if (method) routes.add(`${method.toUpperCase()} ${path}`);
  }
  const start = { state: 's', public_key: { challenge: '', user: { id: '' } }, expires_at: 9e9 };
  const s = server(({ path }) => (path.startsWith('/me/devices') ? { body: { devices: [] } } : login({ recovery_codes: [], ...start })));
  const a = s.tab();
  const c = { password: 'p', code: '1' };
  await a.register({ email: 'e', username: 'u', password: 'p' });
  await a.verify('e', '1');
  await a.resend('e');
  await a.login({ login: 'e', password: 'p' });
  await a.forgot('e');
  await a.reset({ email: 'e', code: '1', password: 'p' });
  await a.renew();
  await a.changePassword({ current: 'p', password: 'q' });
  await a.me();
  await a.picture('{name}');
  await a.update({ name: 'n' });
  await a.devices();
  await a.renameDevice('{id}', 'n');
  await a.revokeDevice('{id}');
  await a.pushKey();
  await a.pushDevices();
  await a.addPushDevice({ endpoint: 'e', keys: { p256dh: 'p', auth: 'a' } });
  await a.removePushDevice('{id}');
  await a.enrolTotp(c);
  await a.confirmTotp('1');
  await a.disableTotp(c);
  await a.newRecoveryCodes(c);
  await a.passkeys();
  await a.addPasskey(c);
  await a.renamePasskey('{id}', 'n');
  await a.deletePasskey('{id}');
  await a.loginByPasskey();
  await a.export();
  await a.deactivate(c);
  await a.delete(c);
  await a.logout();
  await a.logout({ all: true });
  for (const q of s.asked) assert.ok(routes.has(`${q.method} ${decodeURIComponent(q.path)}`), `${q.method} ${q.path}`);
  const used = new Set(s.asked.map((q) => `${q.method} ${decodeURIComponent(q.path)}`));
  const others = [...routes].filter((r) => !used.has(r) && !/ \/(conversations|topics|search|files)/.test(r)); // see conversation.test.js
  assert.deepEqual(others.sort(), ['GET /admin/users', 'GET /openapi.json', 'PATCH /admin/users/{identity}']);
});

test('account: a device’s id cannot leave its path', async () => {
  const s = server(() => ({ status: 204 }));
  await s.tab().revokeDevice('../../auth/logout');
  assert.equal(s.asked[0].path, '/me/devices/..%2F..%2Fauth%2Flogout');
});

test('where notifications go: no key where there are none, and each ask its own', async () => {
  let there = true;
  const s = server((a) => {
    if (a.path === '/push') return there ? { body: { key: 'K' } } : problem(404, 'not_found');
    if (a.path === '/me/push' && a.method === 'GET') return { body: { devices: [{ id: 'd', service: 'push.example', created_at: 1 }] } };
    if (a.path === '/me/push') return { body: { id: 'd', service: 'push.example', created_at: 1 } };
    return { status: 204 };
  });
  const account = s.tab();
  assert.equal(await account.pushKey(), 'K');
  there = false;
  assert.equal(await account.pushKey(), '');
  const subscription = { endpoint: 'https://push.example/x', keys: { p256dh: 'p', auth: 'a' } };
  assert.equal((await account.addPushDevice(subscription)).id, 'd');
  assert.deepEqual((await account.pushDevices()).map((d) => d.id), ['d']);
  await account.removePushDevice('a/b');
  assert.deepEqual(s.asked.map((a) => `${a.method} ${a.path}`), ['GET /push', 'GET /push', 'POST /me/push', 'GET /me/push', 'DELETE /me/push/a%2Fb']);
  assert.deepEqual(s.asked[2].body, subscription);
});
