import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Account, RondoError, memoryStore, passkeysFill, passkeysWork } from '../sdk/rondo.js';

const user = { id: 'u_1', email: 'ann@example.org', username: 'ann', name: 'Ann', languages: [], interests: [], roles: ['user'], totp: false, created_at: 1 };
const bytes = (/** @type {number[]} */ ...list) => Uint8Array.from(list).buffer;

/** What a browser may say instead of an answer. */
function refusal(/** @type {string} */ name) {
  return Object.assign(new Error(name), { name });
}

/**
 * An account whose server and authenticator the test has.
 * @param {{create?: any, get?: any, now?: () => number}} browser
 */
function ann({ create, get, now = () => 1000 }) {
  /** @type {{method: string, path: string, body: any}[]} */
  const asked = [];
  let begun = 0;
  const fetch = async (/** @type {string} */ url, /** @type {any} */ init) => {
    const path = url.replace('/api/v1', '');
    asked.push({ method: init.method, path, body: init.body ? JSON.parse(init.body) : undefined });
    let body = /** @type {any} */ ({ user, access_expires_at: 600_000, refresh_expires_at: 9e9, ticket: 'T' });
    if (path === '/auth/passkey/begin') body = { state: `S${++begun}`, public_key: { challenge: '-_8', rpId: 'localhost' }, expires_at: 301_000 };
    if (path === '/me/passkey/begin') {
      const options = { challenge: 'AQID', rp: { id: 'localhost' }, user: { id: 'dV8x', name: 'ann' }, excludeCredentials: [{ type: 'public-key', id: '_w' }] };
      body = { state: 'S', public_key: options, expires_at: 301_000 };
    }
    if (path === '/me/passkey/finish') body = { id: 'k', name: 'Chrome', backed_up: false, created_at: 1 };
    return new Response(JSON.stringify(body), { status: 200 });
  };
  const account = new Account({ store: memoryStore(), fetch: /** @type {any} */ (fetch), credentials: /** @type {any} */ ({ create, get }), now });
  return { account, asked };
}

const shown = { rawId: bytes(251, 255), response: { clientDataJSON: bytes(1), authenticatorData: bytes(2), signature: bytes(3), userHandle: bytes(4) } };

test('passkey: a login takes what the server asks to the browser, and the answer back', async () => {
  /** @type {any} */
  let request;
  const { account, asked } = ann({ get: async (/** @type {any} */ r) => ((request = r), shown) });
  const login = await account.loginByPasskey({ device: 'mine' });
  assert.equal(login.ticket, 'T');
  assert.deepEqual([account.user?.name, account.known], ['Ann', true]);
  assert.deepEqual([...request.publicKey.challenge], [251, 255]);
  assert.deepEqual([request.publicKey.rpId, request.publicKey.allowCredentials, request.mediation], ['localhost', [], undefined]);
  assert.deepEqual(asked.map((a) => a.path), ['/auth/passkey/begin', '/auth/passkey/finish']);
  assert.deepEqual(asked[1].body, {
    state: 'S1',
    device: 'mine',
    credential: { id: '-_8', rawId: '-_8', type: 'public-key', clientExtensionResults: {}, response: { clientDataJSON: 'AQ', authenticatorData: 'Ag', signature: 'Aw', userHandle: 'BA' } },
  });
});

test('passkey: a new one is made for the account, on no authenticator that has one', async () => {
  /** @type {any} */
  let request;
  const made = { rawId: bytes(9), response: { clientDataJSON: bytes(1), attestationObject: bytes(2), getTransports: () => ['internal'] } };
  const { account, asked } = ann({ create: async (/** @type {any} */ r) => ((request = r), made) });
  assert.equal((await account.addPasskey({ password: 'p' }, 'mine')).name, 'Chrome');
  assert.deepEqual([...request.publicKey.user.id], [...new TextEncoder().encode('u_1')]);
  assert.deepEqual([...request.publicKey.excludeCredentials[0].id], [255]);
  assert.deepEqual(asked[0].body, { password: 'p' });
  assert.deepEqual(asked[1].body, {
    state: 'S',
    name: 'mine',
    credential: { id: 'CQ', rawId: 'CQ', type: 'public-key', clientExtensionResults: {}, response: { clientDataJSON: 'AQ', attestationObject: 'Ag', transports: ['internal'] } },
  });
});

test('passkey: what browsers refuse has a code', async () => {
  /** @type {[any, string][]} */
  const cases = [
    [refusal('NotAllowedError'), 'cancelled'],
    [refusal('AbortError'), 'cancelled'],
    [refusal('InvalidStateError'), 'already'],
    [refusal('SecurityError'), 'unsupported'],
    [null, 'unsupported'],
  ];
  for (const [answer, code] of cases) {
    const get = async () => {
      if (answer) throw answer;
      return null;
    };
    const { account, asked } = ann({ get, create: get });
    for (const work of [() => account.loginByPasskey(), () => account.addPasskey({ password: 'p' })]) {
      await assert.rejects(work, (err) => err instanceof RondoError && err.code === code);
    }
    assert.equal(asked.length, 2, 'nothing is finished');
  }
  const { account } = ann({});
  await assert.rejects(account.loginByPasskey(), (err) => err instanceof RondoError && err.code === 'unsupported');
});

test('passkey: where it fills in, a challenge that is over is replaced until somebody chooses', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let times = 0;
  const get = (/** @type {any} */ { mediation, signal }) => {
    assert.equal(mediation, 'conditional');
    if (++times === 3) return Promise.resolve(shown);
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(refusal('AbortError')));
      setImmediate(() => t.mock.timers.tick(270_000));
    });
  };
  const { account, asked } = ann({ get });
  await account.loginByPasskey({ fill: true });
  assert.equal(asked.at(-1)?.body.state, 'S3');
});

test('passkey: who stops asking is not asked again', async () => {
  const stop = new AbortController();
  const get = (/** @type {any} */ { signal }) =>
    new Promise((_, reject) => {
      if (signal.aborted) reject(refusal('AbortError'));
      signal.addEventListener('abort', () => reject(refusal('AbortError')));
      setImmediate(() => stop.abort());
    });
  const { account, asked } = ann({ get });
  for (let i = 0; i < 2; i++) {
    await assert.rejects(account.loginByPasskey({ fill: true, signal: stop.signal }), (err) => err instanceof RondoError && err.code === 'cancelled');
  }
  assert.deepEqual(asked.map((a) => a.path), ['/auth/passkey/begin', '/auth/passkey/begin']);
});

test('passkey: they work where the browser has them and the address is a name', async () => {
  const key = (/** @type {any} */ fill) => Object.assign(function PublicKeyCredential() {}, fill === undefined ? {} : { isConditionalMediationAvailable: fill });
  const at = (/** @type {string} */ hostname, more = {}) => ({ location: { hostname }, isSecureContext: true, PublicKeyCredential: key(async () => true), ...more });
  assert.equal(passkeysWork(at('localhost')), true);
  assert.equal(passkeysWork(at('rondo.example')), true);
  for (const host of ['', '127.0.0.1', '[::1]', '::1']) assert.equal(passkeysWork(at(host)), false, host);
  assert.equal(passkeysWork(at('rondo.example', { isSecureContext: false })), false);
  assert.equal(passkeysWork(at('rondo.example', { PublicKeyCredential: undefined })), false);
  assert.equal(passkeysWork(), false);
  assert.equal(await passkeysFill(at('localhost')), true);
  for (const fill of [undefined, async () => false, async () => Promise.reject(new Error('no'))]) {
    assert.equal(await passkeysFill(at('localhost', { PublicKeyCredential: key(fill) })), false);
  }
});
