import { Call } from './call.js';
import { Chat } from './chat.js';
import { Emitter } from './emitter.js';
import { Marks } from './marks.js';

/** @typedef {import('./types.js').PeerInfo} PeerInfo */
/** @typedef {import('./types.js').RoomState} RoomState */
/** @typedef {import('./types.js').Found} Found */
/** @typedef {import('./types.js').Push} Push */

/**
 * Another member of the room.
 *
 * @typedef {object} Peer
 * @property {string} id unique in the room for ever; tells nothing beyond it
 * @property {string} name
 * @property {number} since Unix milliseconds
 * @property {boolean} away its connection to the server is gone, its seat is kept
 * @property {string} [picture] name of its picture in this room, for `Account.picture`; `updated` tells of a new one under the same name
 */

/**
 * Why a room ended for us: we left (`left`, `next`), the other one of a
 * matched room did (`peer-left`, `peer-next`, `peer-lost`, `peer-blocked`),
 * the room expired, or our session was lost.
 *
 * @typedef {'left' | 'next' | 'peer-left' | 'peer-next' | 'peer-lost' | 'peer-blocked' | 'expired' | 'lost'} EndReason
 */

/** @typedef {{from: string, kind: string, d: any}} Signal */

/**
 * @typedef {object} RoomEvents
 * @property {Peer} joined
 * @property {{peer: Peer, reason: string}} left
 * @property {Peer} away
 * @property {{peer: Peer, fresh: boolean}} back fresh: that side lost its memory, so its call
 * @property {Peer} updated
 * @property {RoomState} reset we are a new member of the same room, after our session was lost
 * @property {RoomState} resync pushes were lost; this is the truth
 * @property {boolean} connection whether our own connection to the server is there
 * @property {Signal} signal what a peer's call says; for Call
 * @property {EndReason} ended
 */

/**
 * What a room needs of its client.
 *
 * @typedef {object} RoomPort
 * @property {(t: string, d: object, options?: {room?: string, to?: string, kind?: string, timeout?: number}) => Promise<any>} request
 * @property {(t: string, d: object, options?: {room?: string}) => boolean} send
 * @property {(which: (message: any) => boolean) => void} forget
 * @property {(force?: boolean) => Promise<import('./types.js').Ice | undefined>} ice current servers; force: with new credentials
 * @property {() => boolean} online
 * @property {() => void} probe looks whether the server is still there
 * @property {(room: Room) => Promise<void>} leave
 * @property {(room: Room) => void} gone the server took us out of the room
 */

const keptSignals = 256; // until a call takes them
const rememberedSignals = 256; // of each peer: some come again after the death of a node

/**
 * A room that we sit in: a matched one of two seats or a named one.
 *
 * @extends {Emitter<RoomEvents>}
 */
export class Room extends Emitter {
  /** @type {Map<string, Peer>} by id */
  peers = new Map();
  /** Why it ended; empty while we are in it. @type {EndReason | ''} */
  ended = '';
  /** When we came in, by performance.now(). */
  entered = performance.now();

  /** When the steps of the matched room's call were made. */
  marks;

  #port;
  /** @type {RoomState} */
  #state;
  /** @type {Signal[]} */
  #early = [];
  /** The newest signals of each peer, by number. @type {Map<string, Set<number>>} */
  #seen = new Map();
  /** @type {Call | null} */
  #call = null;

  /**
   * @param {RoomPort} port
   * @param {RoomState} state
   * @param {Marks} [marks] of the search before
   */
  constructor(port, state, marks = new Marks()) {
    super();
    this.marks = marks;
    this.#port = port;
    this.#state = state;
    this.#setPeers(state.peers);
    this.chat = new Chat({
      ask: (t, d, options) => port.request(t, d, { ...options, room: this.id }),
      tell: (t, d) => void port.send(t, d, { room: this.id }),
      you: () => this.you,
      page: state.chat,
    });
  }

  get id() {
    return this.#state.room;
  }
  get kind() {
    return this.#state.kind;
  }
  /** A named room's name. */
  get name() {
    return this.#state.name ?? '';
  }
  get mode() {
    return this.#state.mode;
  }
  get capacity() {
    return this.#state.capacity;
  }
  /** Our own member id. */
  get you() {
    return this.#state.you;
  }
  /** Whether media goes through a relay only, because someone wished so. */
  get relayOnly() {
    return this.#state.relay_only;
  }
  /** What the match was, in a matched room. @type {Found | null} */
  get match() {
    return this.#state.match ?? null;
  }
  /** The call, once `startCall` made it. */
  get call() {
    return this.#call;
  }

  /**
   * Starts the call: from now on every peer gets a connection of its own.
   *
   * @param {import('./call.js').CallOptions} [options]
   * @param {import('./spare.js').Spare | null} [spare] for Rondo
   * @returns {Call} the one that goes on, if there is one
   */
  startCall(options = {}, spare = null) {
    if (this.#call) return this.#call;
    const call = new Call(this, this.#port, options, spare);
    this.#call = call;
    call.start();
    for (const s of this.#early.splice(0)) this.emit('signal', s);
    return call;
  }

  /** Leaves the room. */
  leave() {
    return this.#port.leave(this);
  }

  /**
   * Blocks a member: you never meet again. A matched room ends by it.
   * @param {string} peer id
   */
  async block(peer) {
    await this.#port.request('block', { peer }, { room: this.id });
    if (this.kind === 'matched') this.#port.gone(this);
  }

  /**
   * Whether we start the negotiation with a peer; the one who does is the
   * impolite one (protocol, sections 5 and 6).
   *
   * @param {string} peer id
   */
  offers(peer) {
    const match = this.match;
    if (match && match.peer.id === peer && match.you === this.you) return match.offerer;
    return Number(this.you) < Number(peer);
  }

  // ---- for the client ----

  /** @param {Push} m */
  handle(m) {
    const d = m.d ?? {};
    switch (m.t) {
      case 'signal':
        if (!this.#again(m.from ?? '', m.n ?? 0)) this.#signal({ from: m.from ?? '', kind: m.kind ?? '', d });
        break;
      case 'chat':
        this.chat.pushed(d);
        break;
      case 'typing':
        this.chat.typed(m.from ?? d.from ?? '', d.on === true);
        break;
      case 'peer.joined':
        this.emit('joined', this.#put(d.peer));
        break;
      case 'peer.left':
        this.#left(d.peer, d.reason);
        break;
      case 'peer.reconnecting':
        this.#presence(d.peer, true, false);
        break;
      case 'peer.back':
        this.#presence(d.peer, false, d.fresh === true);
        break;
      case 'peer.updated':
        this.emit('updated', this.#put(d.peer));
        break;
      case 'room.closed':
        this.end(d.reason === 'expired' ? 'expired' : 'lost');
        break;
    }
  }

  /** We sit in the same room as a new member. @param {RoomState} state */
  reset(state) {
    this.#state = state;
    this.#setPeers(state.peers);
    this.chat.resync(state.chat);
    this.emit('reset', state);
  }

  /** Pushes were lost. @param {RoomState} state */
  resync(state) {
    this.#state = { ...state, match: state.match ?? this.#state.match };
    const before = new Map(this.peers);
    this.#setPeers(state.peers);
    for (const [id, peer] of before) if (!this.peers.has(id)) this.emit('left', { peer, reason: 'lost' });
    for (const [id, peer] of this.peers) if (!before.has(id)) this.emit('joined', peer);
    this.chat.resync(state.chat);
    this.emit('resync', state);
  }

  /** @param {boolean} there our connection to the server */
  connection(there) {
    this.emit('connection', there);
    if (there) void this.chat.heal();
  }

  /** @param {EndReason} reason */
  end(reason) {
    if (this.ended) return;
    this.ended = reason;
    this.#call?.close();
    this.#port.forget((m) => m.room === this.id && (m.t === 'signal' || m.t === 'chat.history'));
    this.chat.end();
    this.emit('ended', reason);
  }

  // ---- inside ----

  /**
   * Whether a signal was here before; those without a number never were.
   *
   * @param {string} from
   * @param {number} n
   */
  #again(from, n) {
    if (!n) return false;
    const seen = this.#seen.get(from) ?? new Set();
    this.#seen.set(from, seen);
    if (seen.has(n)) return true;
    seen.add(n);
    if (seen.size > rememberedSignals) for (const old of seen) if (seen.delete(old)) break;
    return false;
  }

  /** @param {Signal} s */
  #signal(s) {
    if (this.#call) this.emit('signal', s);
    else if (this.#early.length < keptSignals) this.#early.push(s);
  }

  /** @param {PeerInfo[]} list */
  #setPeers(list) {
    const before = this.peers;
    this.peers = new Map();
    for (const p of list ?? []) this.peers.set(p.id, Object.assign(before.get(p.id) ?? {}, toPeer(p)));
  }

  /**
   * @param {PeerInfo} p
   * @returns {Peer}
   */
  #put(p) {
    const known = this.peers.get(p.id);
    const peer = known ? Object.assign(known, { ...toPeer(p), away: p.state ? p.state === 'away' : known.away }) : toPeer(p);
    this.peers.set(p.id, peer);
    return peer;
  }

  /**
   * @param {string} id
   * @param {string} reason
   */
  #left(id, reason) {
    const peer = this.peers.get(id);
    if (!peer) return;
    this.peers.delete(id);
    this.chat.typed(id, false);
    this.#seen.delete(id);
    this.#early = this.#early.filter((s) => s.from !== id);
    this.emit('left', { peer, reason });
    if (this.kind !== 'matched') return;
    /** @type {Record<string, EndReason>} */
    const words = { left: 'peer-left', next: 'peer-next', lost: 'peer-lost', blocked: 'peer-blocked' };
    this.end(words[reason] ?? 'peer-left');
  }

  /**
   * @param {string} id
   * @param {boolean} away
   * @param {boolean} fresh
   */
  #presence(id, away, fresh) {
    const peer = this.peers.get(id);
    if (!peer) return;
    peer.away = away;
    if (fresh) this.#seen.delete(id); // its numbers begin anew
    if (fresh) this.#early = this.#early.filter((s) => s.from !== id);
    if (away) this.emit('away', peer);
    else this.emit('back', { peer, fresh });
  }
}

/**
 * @param {PeerInfo} p
 * @returns {Peer}
 */
function toPeer(p) {
  return { id: p.id, name: p.name, since: p.since, away: p.state === 'away', picture: p.picture };
}
