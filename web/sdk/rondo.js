/**
 * Rondo's browser SDK: random and invited calls over a Rondo server, without a
 * user interface. This is the one public entry; `docs/embed.md` shows its use
 * and `docs/protocol.md` is what it speaks.
 *
 *     const rondo = await Rondo.connect({ url: 'wss://example.org/ws', name: 'Ann' });
 *     rondo.on('found', ({ room }) => {
 *       const call = room.startCall({ stream });
 *       call.on('remote', ({ stream }) => { video.srcObject = stream; });
 *     });
 *     await rondo.find({ pool: 'video', tags: ['jazz'] });
 */
import { kindsOf, streamOf } from './call.js';
import { Connection } from './connection.js';
import { Conversations } from './conversations.js';
import { Emitter } from './emitter.js';
import { RondoError } from './errors.js';
import { Marks } from './marks.js';
import { Rest } from './rest.js';
import { Room } from './room.js';
import { Spare } from './spare.js';
import { browserStorage } from './storage.js';

export { Account } from './account.js';
export { Call } from './call.js';
export { Emitter } from './emitter.js';
export { Chat } from './chat.js';
export { ConversationView, isMember } from './conversation.js';
export { Conversations } from './conversations.js';
export { openDevices, stopStream } from './devices.js';
export { RondoError } from './errors.js';
export { passkeysFill, passkeysWork } from './passkey.js';
export { Room } from './room.js';
export { browserStorage, memoryStore } from './storage.js';

/** @typedef {import('./account.js').AccountUser} AccountUser */
/** @typedef {import('./account.js').Confirm} Confirm */
/** @typedef {import('./account.js').Device} Device */
/** @typedef {import('./account.js').Login} Login */
/** @typedef {import('./account.js').Passkey} Passkey */
/** @typedef {import('./account.js').PushDevice} PushDevice */
/** @typedef {import('./types.js').Found} Found */
/** @typedef {import('./types.js').Ice} Ice */
/** @typedef {import('./types.js').Limits} Limits */
/** @typedef {import('./types.js').Pool} Pool */
/** @typedef {import('./types.js').Push} Push */
/** @typedef {import('./types.js').RoomInfo} RoomInfo */
/** @typedef {import('./types.js').RoomState} RoomState */
/** @typedef {import('./types.js').Stats} Stats */
/** @typedef {import('./types.js').User} User */
/** @typedef {import('./types.js').Waiting} Waiting */
/** @typedef {import('./types.js').Welcome} Welcome */
/** @typedef {import('./types.js').Wish} Wish */

/**
 * @typedef {object} RondoOptions
 * @property {string} [url] the server's WebSocket; default: `/ws` of the page's own host
 * @property {string} [name] display name; default: one of the server's choice
 * @property {string} [guest] guest token of an earlier visit; default: the one in storage
 * @property {() => Promise<unknown> | null} [prepare] called before a connection is opened, e.g. `() => account.fresh()`
 * @property {import('./storage.js').Storage2} [storage] where the resume and guest tokens are kept; default: the browser's
 * @property {typeof globalThis.WebSocket} [WebSocket]
 * @property {typeof globalThis.fetch} [fetch]
 * @property {() => number} [random]
 */

/**
 * What is made ready while a search goes on.
 *
 * @typedef {object} Plan
 * @property {import('./call.js').CallOptions} [call] the call that is started in the moment in which somebody is found; `room.startCall()` returns it
 * @property {number} [since] when the user asked for it, by performance.now(), e.g. the `timeStamp` of the click: for the operator's metrics
 */

/**
 * @typedef {object} RondoEvents
 * @property {import('./connection.js').StatusEvent} connection the state of the way to the server
 * @property {{fresh: boolean, reset: boolean}} session fresh: the session of the page before a reload goes on; reset: an earlier session was lost
 * @property {Waiting | null} waiting how the search stands; null: none goes on
 * @property {{room: Room, match: Found}} found
 * @property {{reason: string, retryMs: number}} stopped the search ended without a match
 * @property {Room | null} room the room that we are in changed
 * @property {User} user who we are changed: a guest became a user, or has another name
 * @property {RondoError} error an error that answers no request
 */

const patience = 3; // times a rate-limited step is tried again

/**
 * A client of one Rondo server.
 *
 * @extends {Emitter<RondoEvents>}
 */
export class Rondo extends Emitter {
  /** Who we are; null before the first welcome. @type {User | null} */
  user = null;
  /** @type {Limits | null} */
  limits = null;
  /** @type {Pool[]} */
  pools = [];
  /** @type {string[]} */
  features = [];
  /** How the search stands; null when none goes on. @type {Waiting | null} */
  search = null;
  /** The room that we are in. @type {Room | null} */
  room = null;
  /** Chat that lasts, where `features` has `conversations`. @type {Conversations} */
  conversations;

  #connection;
  #storage;
  #guestKey;
  #guest;
  #name;
  #who = ''; // whose conversations are at hand
  /** @type {Ice | undefined} */
  #ice;
  #iceAt = 0;
  /** @type {Promise<Ice | undefined> | null} */
  #iceAsked = null;
  /** @type {Wish} */
  #wish = {};
  /** @type {Plan} */
  #plan = {};
  /** @type {Spare | null} */
  #spare = null;
  #marks = new Marks();
  #cancelling = false;
  #searches = 0; // rises whenever a search begins or ends
  #seeking = 0; // requests for a search that have no answer yet
  /** @type {{id: string, passcode?: string} | null} */
  #joined = null; // to come back to a named room with a new session

  /**
   * Connects and waits for the session.
   *
   * @param {RondoOptions} [options]
   * @returns {Promise<Rondo>} rejects with a RondoError when the server will not have us
   */
  static async connect(options) {
    const rondo = new Rondo(options);
    await rondo.open();
    return rondo;
  }

  /** @param {RondoOptions} [options] */
  constructor(options = {}) {
    super();
    const url = options.url ?? ownUrl();
    this.#storage = options.storage ?? browserStorage();
    this.#guestKey = `rondo.guest ${url}`;
    this.#guest = options.guest ?? this.#storage.local.get(this.#guestKey) ?? '';
    this.#name = options.name ?? '';
    this.#connection = new Connection({
      url,
      hello: () => this.#hello(),
      prepare: options.prepare,
      session: this.#storage.session,
      WebSocket: options.WebSocket,
      fetch: options.fetch,
      random: options.random,
    });
    const c = this.#connection;
    const rest = new Rest({ base: `${url.replace(/^ws/, 'http').replace(/\/ws\/?$/, '')}/api/v1`, prepare: options.prepare, fetch: options.fetch, guest: () => (this.user?.guest ? this.#guest : '') });
    this.conversations = new Conversations(
      { request: (t, d, o) => c.request(t, d, o), send: (t, d, o) => c.send(t, d, o), you: () => this.user?.id ?? '', random: options.random },
      rest,
    );
    c.on('status', (e) => this.#status(e));
    c.on('welcome', ({ welcome, reset }) => this.#welcomed(welcome, reset));
    c.on('resumed', (d) => this.#resumed(d));
    c.on('push', (m) => this.#pushed(m));
    c.on('error', (e) => this.emit('error', e));
  }

  /** `connecting`, `open`, `reconnecting` or `closed`. */
  get status() {
    return this.#connection.status;
  }

  /**
   * Connects; to be called once. `Rondo.connect` does it.
   *
   * @returns {Promise<void>} resolves with the first session
   */
  open() {
    return new Promise((resolve, reject) => {
      const stop = this.on('connection', ({ status, reason }) => {
        if (status !== 'open' && status !== 'closed') return;
        stop();
        if (status === 'open') resolve();
        else reject(new RondoError(reason, `The server refused the connection (${reason}).`));
      });
      this.#connection.start();
    });
  }

  /** Ends the session at once: the room is left, the search ends. */
  close() {
    this.#unprepare();
    this.room?.end('left');
    this.#connection.close();
  }

  /**
   * Ends the session and begins a new one, after logging in or out; a matched
   * room is left, a search begins again.
   *
   * @param {string} [name] to go by as a guest from now on
   */
  restart(name) {
    if (name !== undefined) this.#name = name;
    if (this.room?.kind === 'matched') this.#endRoom('lost');
    this.user = null;
    this.#connection.restart();
  }

  /**
   * Tells the open session who is logged in now, or that they still are: the
   * guest becomes the user, and stays in its call.
   *
   * @param {string} ticket of Account's login, verify or renew, within 30 s
   * @returns {Promise<void>}
   */
  async authenticate(ticket) {
    const d = await this.#connection.request('auth', { auth: ticket });
    if (d.user) this.#setUser(d.user);
  }

  /** The guest token of this browser, which registering takes over; '' for a user. */
  get guest() {
    return this.user?.guest === false ? '' : this.#guest;
  }

  // ---- matching ----

  /**
   * Searches for someone. `found` or `stopped` tells the end.
   *
   * @param {Wish} [wish]
   * @param {Plan} [plan]
   * @returns {Promise<Waiting | null>} null when somebody was found at once
   */
  find(wish = {}, plan = {}) {
    this.#wish = wish;
    this.#plan = plan;
    return this.#seek('match.find');
  }

  /**
   * Leaves whoever is here and searches again, in one step.
   *
   * @param {Wish} [wish] default: as before
   * @param {Plan} [plan] default: as before
   * @returns {Promise<Waiting | null>}
   */
  next(wish, plan) {
    if (wish) this.#wish = wish;
    this.#plan = plan ?? { call: this.#plan.call };
    const inRoom = this.room !== null;
    this.#endRoom('next');
    return this.#seek(inRoom ? 'match.next' : 'match.find');
  }

  /** Ends the search. Somebody found in the same moment is left again. */
  async cancel() {
    this.#cancelling = true;
    this.#setSearch(null);
    try {
      await this.#patiently('match.cancel', {});
    } finally {
      this.#cancelling = false;
    }
  }

  // ---- rooms ----

  /**
   * Makes a named room and enters it.
   *
   * @param {{name?: string, mode?: import('./types.js').Mode, capacity?: number, passcode?: string}} [options]
   * @returns {Promise<Room>}
   */
  async createRoom(options = {}) {
    const state = await this.#patiently('room.create', options);
    this.#joined = { id: state.room, passcode: options.passcode };
    return this.#enter(state);
  }

  /**
   * @param {string} id
   * @param {string} [passcode]
   * @returns {Promise<Room>}
   */
  async joinRoom(id, passcode) {
    const state = await this.#patiently('room.join', passcode ? { passcode } : {}, { room: id });
    this.#joined = { id, passcode };
    return this.#enter(state);
  }

  /**
   * What can be known of a room from outside.
   *
   * @param {string} id
   * @returns {Promise<RoomInfo>}
   */
  roomInfo(id) {
    return this.#patiently('room.info', {}, { room: id });
  }

  /** Leaves the room that we are in. */
  async leave() {
    const room = this.room;
    if (!room) return;
    this.#endRoom('left');
    await this.#patiently('room.leave', {}, { room: room.id });
  }

  // ---- the rest ----

  /**
   * @param {string} name
   * @returns {Promise<User>}
   */
  async rename(name) {
    const d = await this.#connection.request('user.update', { name });
    this.#name = name;
    this.#setUser(d.user);
    return d.user;
  }

  /** @returns {Promise<Stats>} how many are here, and search */
  stats() {
    return this.#connection.request('stats');
  }

  /** The wish of the last search. */
  get wish() {
    return this.#wish;
  }

  /** Checks the way to the server now, for instance after the network changed. */
  probe() {
    this.#connection.probe();
  }

  /**
   * ICE servers whose credentials still hold.
   *
   * @param {boolean} [force] with new credentials
   * @returns {Promise<Ice | undefined>}
   */
  async ice(force = false) {
    const held = this.#heldIce(force);
    if (held) return held;
    this.#iceAsked ??= this.#connection
      .request('ice', {}, { timeout: 5000 })
      .then((d) => this.#setIce(d))
      .catch(() => this.#ice) // old ones may still do
      .finally(() => (this.#iceAsked = null));
    return this.#iceAsked;
  }

  /** @param {boolean} force */
  #heldIce(force) {
    const age = Date.now() - this.#iceAt;
    // New enough for anyone, or good for long enough.
    return this.#ice && (age < 10_000 || (!force && age < this.#ice.ttl_ms / 2)) ? this.#ice : null;
  }

  // ---- session ----

  #hello() {
    /** @type {{name?: string, guest?: string, features: string[]}} */
    const d = { features: [] };
    if (this.#name && this.user?.guest !== false) d.name = this.#name; // a user's is in the account
    if (this.#guest) d.guest = this.#guest;
    return d;
  }

  /** @param {import('./connection.js').StatusEvent} e */
  #status(e) {
    if (e.status === 'closed') {
      this.#unprepare();
      this.#endRoom('lost');
    }
    this.emit('connection', e);
    this.room?.connection(e.status === 'open');
  }

  /**
   * @param {Welcome} w
   * @param {boolean} reset
   */
  #welcomed(w, reset) {
    this.#setUser(w.user);
    this.limits = w.limits;
    this.pools = w.pools;
    this.features = w.features;
    this.#setIce(w.ice);
    if (w.guest) {
      this.#guest = w.guest;
      this.#storage.local.set(this.#guestKey, w.guest);
    }
    if (reset) this.#recover();
    this.conversations.connected(false);
    this.emit('session', { fresh: false, reset });
  }

  /** @param {User} user */
  #setUser(user) {
    const before = this.user;
    this.user = user;
    // An account that took the guest's identity over has it for good: the token
    // must not serve whoever uses this browser after logging out.
    if (!user.guest && user.id.startsWith('g_')) {
      this.#guest = '';
      this.#storage.local.remove(this.#guestKey);
    }
    if (this.#who && this.#who !== user.id) this.conversations.connected(true);
    this.#who = user.id;
    if (before && (before.id !== user.id || before.name !== user.name || before.guest !== user.guest)) this.emit('user', user);
  }

  /** Our session is gone with all it held: take up again what can be. */
  #recover() {
    const room = this.room;
    const searching = this.search !== null;
    this.search = null;
    if (room?.kind === 'named' && this.#joined?.id === room.id) {
      void this.#rejoin(room, this.#joined.passcode);
    } else if (room) {
      this.#endRoom('lost');
    } else if (searching) {
      this.#seek('match.find').catch(() => this.#stop('unavailable', 0));
    }
  }

  /**
   * @param {Room} room
   * @param {string | undefined} passcode
   */
  async #rejoin(room, passcode) {
    try {
      const state = await this.#patiently('room.join', passcode ? { passcode } : {}, { room: room.id });
      if (this.room === room) room.reset(state);
    } catch {
      if (this.room === room) this.#endRoom('lost');
    }
  }

  /** @param {import('./types.js').Resumed} d */
  #resumed(d) {
    this.#setIce(d.ice);
    const state = d.state;
    if (!state) {
      this.conversations.connected(false);
      return;
    }
    const fresh = this.user === null;
    this.#setUser(state.user);
    this.limits = state.limits;
    this.pools = state.pools;
    this.features = state.features;
    // A request under way is answered after this, so it knows better; not so who was found.
    const asked = this.#seeking > 0 && !state.room;
    if (!asked) {
      this.#searches++;
      this.search = state.match;
      if (!state.match) this.#unprepare();
    }
    if (state.room && this.room?.id === state.room.room) this.room.resync(state.room);
    else {
      this.#endRoom('lost');
      if (state.room) this.#enter(state.room);
    }
    if (!asked) this.emit('waiting', this.search);
    this.conversations.connected(false);
    this.emit('session', { fresh, reset: false });
  }

  // ---- pushes ----

  /** @param {Push} m */
  #pushed(m) {
    if (m.t === 'match.waiting') {
      if (this.search) this.#setSearch(m.d, this.#searches);
    } else if (m.t === 'match.found') this.#found(m.room ?? '', m.d);
    else if (m.t === 'match.stopped') this.#stop(m.d?.reason ?? '', m.d?.retry_ms ?? 0);
    else if (m.t.startsWith('conv.')) this.conversations.handle(m);
    else if (m.room && this.room && m.room === this.room.id) {
      this.room.handle(m);
      if (this.room?.ended) this.#endRoom('lost');
    }
  }

  /**
   * @param {string} id
   * @param {Found} match
   */
  #found(id, match) {
    if (this.#cancelling) {
      this.#connection.request('room.leave', {}, { room: id }).catch(() => {});
      return;
    }
    this.#marks.note('matched');
    const spare = this.#spare;
    this.#spare = null;
    this.#setSearch(null);
    if (match.ice) this.#setIce(match.ice);
    const room = this.#enter({
      room: id,
      kind: 'matched',
      mode: match.mode,
      capacity: 2,
      you: match.you,
      peers: [match.peer],
      relay_only: match.relay_only,
      chat: { off: 0, messages: [], more: false },
      match,
    }, { spare });
    this.emit('found', { room, match });
  }

  /**
   * @param {string} reason
   * @param {number} retryMs
   */
  #stop(reason, retryMs) {
    this.#setSearch(null);
    this.emit('stopped', { reason, retryMs });
  }

  // ---- inside ----

  /** @param {string} t */
  async #seek(t) {
    const search = ++this.#searches;
    this.#seeking++;
    this.#marks = new Marks();
    if (this.#plan.since !== undefined) this.#marks.note('click', this.#plan.since);
    const asked = this.#patiently(t, this.#wish, {}, () => search === this.#searches);
    this.#marks.note('asked');
    this.#prepare();
    /** @type {Waiting} */
    let waiting;
    try {
      waiting = await asked;
    } catch (err) {
      if (search === this.#searches) this.#unprepare();
      throw err;
    } finally {
      this.#seeking--;
    }
    if (search === this.#searches) this.#setSearch(waiting, search);
    return this.search;
  }

  /**
   * A request that waits when the server says "too fast".
   *
   * @param {string} t
   * @param {object} d
   * @param {{room?: string}} [options]
   * @param {() => boolean} [wanted] still
   */
  async #patiently(t, d, options = {}, wanted = () => true) {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#connection.request(t, d, options);
      } catch (err) {
        if (!(err instanceof RondoError) || err.code !== 'rate_limited' || tries >= patience) throw err;
        await new Promise((done) => setTimeout(done, err.retryMs || 1000));
        if (!wanted()) throw new RondoError('closed', 'No longer wanted.');
      }
    }
  }

  /**
   * @param {Waiting | null} waiting
   * @param {number} [search] the search it belongs to; a new one begins without it
   */
  #setSearch(waiting, search) {
    if (search === undefined) this.#searches++;
    this.search = waiting;
    if (waiting) this.#spare?.waits();
    else this.#unprepare();
    this.emit('waiting', waiting);
  }

  /** Makes a peer connection for whoever is found. */
  #prepare() {
    this.#unprepare();
    const { call } = this.#plan;
    const pool = this.pools.find((p) => p.name === this.#wish.pool) ?? this.pools[0];
    const kinds = call && pool ? kindsOf(call, pool.mode) : [];
    if (!call || kinds.length === 0) return;
    this.#spare = new Spare({
      kinds,
      relay: call.relay === true || this.#wish.relay === true || pool.relay_only,
      track: (kind) => streamOf(call)?.getTracks().find((t) => t.kind === kind) ?? null,
      ice: () => this.#heldIce(false) ?? this.ice(),
      RTCPeerConnection: call.RTCPeerConnection,
    });
  }

  #unprepare() {
    this.#spare?.close();
    this.#spare = null;
  }

  /**
   * @param {RoomState} state
   * @param {{spare: Spare | null}} [found] a match, whose call begins at once if that was planned
   * @returns {Room}
   */
  #enter(state, found) {
    this.#endRoom('left');
    if (state.ice) this.#setIce(state.ice);
    const c = this.#connection;
    const room = new Room(
      {
        request: (t, d, options) => c.request(t, d, options),
        send: (t, d, options) => c.send(t, d, options),
        forget: (which) => c.forget(which),
        ice: (force) => this.ice(force),
        online: () => c.status === 'open',
        probe: () => c.probe(),
        leave: async (r) => {
          if (r === this.room) await this.leave();
        },
        gone: (r) => {
          if (r === this.room) this.#endRoom('left');
        },
      },
      state,
      found && this.#marks,
    );
    this.room = room;
    if (found && this.#plan.call && state.mode !== 'text') room.startCall(this.#plan.call, found.spare);
    else found?.spare?.close();
    this.emit('room', room);
    return room;
  }

  /** @param {import('./room.js').EndReason} reason */
  #endRoom(reason) {
    const room = this.room;
    if (!room) return;
    this.room = null;
    room.end(reason);
    this.emit('room', null);
  }

  /**
   * @param {Ice | undefined} ice
   * @returns {Ice | undefined}
   */
  #setIce(ice) {
    if (ice) {
      this.#ice = ice;
      this.#iceAt = Date.now();
    }
    return this.#ice;
  }
}

/** The WebSocket of the page's own host. */
function ownUrl() {
  const { protocol, host } = globalThis.location;
  return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/ws`;
}
