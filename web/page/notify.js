import { browserStorage } from '../sdk/rondo.js';

/** @typedef {import('../sdk/rondo.js').Account} Account */
/** @typedef {import('../sdk/rondo.js').AccountUser} AccountUser */

/** How notifications stand: not to be had here, forbidden in the browser, off, on. @typedef {'none' | 'blocked' | 'off' | 'on'} NotifyState */

const script = '/sw.js';
const mark = 'rondo.notify'; // whose notifications this browser shows

/** The page's policy lets a worker be loaded from one address only; made at once, so that nobody else makes it. @type {any} */
const trusted = (() => {
  const createScriptURL = (/** @type {string} */ url) => {
    if (url !== script) throw new TypeError('not our worker');
    return url;
  };
  try {
    return /** @type {any} */ (globalThis).trustedTypes?.createPolicy('rondo-worker', { createScriptURL });
  } catch {
    return undefined; // a proxy's policy is stricter: then there are no notifications
  }
})();

/**
 * @typedef {object} NotifyBrowser what is needed of a browser
 * @property {Pick<ServiceWorkerContainer, 'register' | 'ready' | 'getRegistration'> | undefined} workers
 * @property {{permission: NotificationPermission, requestPermission(): Promise<NotificationPermission>} | undefined} notification
 * @property {boolean} push
 * @property {import('../sdk/storage.js').Store} store
 */

/** @returns {NotifyBrowser} */
function thisBrowser() {
  return { workers: navigator.serviceWorker, notification: globalThis.Notification, push: 'PushManager' in globalThis, store: browserStorage().local };
}

/** Notifications of new messages in this browser, while the page is closed. Nothing is asked of anybody before `on`. */
export class Notify {
  #account;
  #browser;
  #followed = '?'; // whom follow was told of last

  /**
   * @param {Account} account
   * @param {NotifyBrowser} [browser]
   */
  constructor(account, browser = thisBrowser()) {
    this.#account = account;
    this.#browser = browser;
    account.on('user', (user) => void this.follow(user).catch(() => {})); // at the next visit again
  }

  /** @returns {Promise<NotifyState>} */
  async state() {
    const { workers, notification, push } = this.#browser;
    if (!workers || !notification || !push || !(await this.#account.pushKey())) return 'none';
    if (notification.permission === 'denied') return 'blocked';
    return (await this.#subscription()) && this.#browser.store.get(mark) === this.#account.user?.id ? 'on' : 'off';
  }

  /** Switches them on; only where somebody has just clicked, for the browser asks them. `blocked`: they do not want to. */
  async on() {
    const { workers, notification, store } = this.#browser;
    const user = this.#account.user;
    if (!workers || !notification || !user) throw failure('unsupported');
    if ((await notification.requestPermission()) !== 'granted') throw failure('blocked');
    await workers.register(trusted ? trusted.createScriptURL(script) : script, { scope: '/', updateViaCache: 'none' });
    await this.#subscribe((await workers.ready).pushManager);
    store.set(mark, user.id);
  }

  async off() {
    this.#browser.store.remove(mark);
    const subscription = await this.#subscription();
    if (!subscription) return;
    await this.#account.removePushDevice(await idOf(subscription.endpoint)).catch((/** @type {any} */ err) => {
      if (err.code !== 'not_found') throw err;
    });
    await subscription.unsubscribe();
  }

  /**
   * Keeps the server's side as the browser's is, once for each who is logged in: the session may be a new one, the key another one. What somebody
   * else switched on here ends.
   * @param {AccountUser | null} user
   */
  async follow(user) {
    const id = user?.id ?? '';
    if (id === this.#followed) return;
    this.#followed = id;
    const { notification, store, workers } = this.#browser;
    const subscription = await this.#subscription();
    if (!subscription) return;
    if (!user || store.get(mark) !== id) {
      store.remove(mark);
      await subscription.unsubscribe();
    } else if (notification?.permission === 'granted' && workers) await this.#subscribe((await workers.ready).pushManager);
  }

  // ---- inside ----

  /** @returns {Promise<PushSubscription | null>} */
  async #subscription() {
    const registration = await this.#browser.workers?.getRegistration('/');
    return (await registration?.pushManager?.getSubscription()) ?? null;
  }

  /** @param {PushManager} manager */
  async #subscribe(manager) {
    const key = await this.#account.pushKey();
    let subscription = await manager.getSubscription();
    if (subscription && base64url(subscription.options.applicationServerKey) !== key) {
      await subscription.unsubscribe();
      subscription = null;
    }
    try {
      subscription ??= await manager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    } catch {
      throw failure('no_push');
    }
    const { endpoint, keys } = subscription.toJSON();
    await this.#account.addPushDevice({ endpoint: endpoint ?? '', keys: { p256dh: keys?.p256dh ?? '', auth: keys?.auth ?? '' } });
  }
}

/** @param {any} err */
export function notifyWords(err) {
  switch (err?.code) {
    case 'blocked':
      return 'This browser does not allow notifications from here. Its settings for this site can change that.';
    case 'no_push':
      return 'This browser cannot reach its push service. Private windows have none.';
  }
  return '';
}

/** @param {string} code */
function failure(code) {
  return Object.assign(new Error(code), { code });
}

/** @param {string} endpoint @returns {Promise<string>} how the server calls it */
async function idOf(endpoint) {
  return base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(endpoint)));
}

/** @param {ArrayBuffer | null} bytes */
function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes ?? new ArrayBuffer(0)))).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
