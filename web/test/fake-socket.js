// A WebSocket whose other end is the test.

/** Every socket that was opened, oldest first. @type {FakeSocket[]} */
export const sockets = [];

export class FakeSocket {
  readyState = 0;
  /** @type {any[]} what the client sent */
  sent = [];
  /** @type {any} */ onopen;
  /** @type {any} */ onmessage;
  /** @type {any} */ onclose;

  /**
   * @param {string} url
   * @param {string} protocol
   */
  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
    sockets.push(this);
  }
  /** @param {string} text */
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close(code = 1005) {
    this.readyState = 3;
    this.closedWith = code;
  }
  /** The last message of this type. @param {string} t */
  last(t) {
    return this.sent.findLast((m) => m.t === t);
  }

  // The server's side.
  open() {
    this.readyState = 1;
    this.onopen?.();
  }
  /** @param {any} m */
  say(m) {
    this.onmessage?.({ data: JSON.stringify(m) });
  }
  /**
   * @param {number} code
   * @param {string} [reason]
   */
  drop(code, reason = '') {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  welcome(d = {}) {
    const hello = this.last('hello');
    this.say({ t: 'welcome', id: hello.id, d: { sid: 's_1', node: 'n_1', server: 'x', user: { id: 'g_1', name: 'Ann', guest: true }, guest: 'G', resume: { token: 'T1', ttl_ms: 30000 }, ping_ms: 25000, limits: {}, features: [], pools: [], ice: { servers: [], ttl_ms: 600000, policy: 'all' }, ...d } });
  }
  resumed(d = {}) {
    const resume = this.last('resume');
    this.say({ t: 'resumed', id: resume.id, d: { sid: 's_1', node: 'n_1', seq: 0, replayed: 0, resume: { token: 'T2', ttl_ms: 30000 }, ping_ms: 25000, ...d } });
  }
}

/** Lets promises run. */
export async function settle() {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
