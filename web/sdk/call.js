import { Emitter } from './emitter.js';
import { Link } from './link.js';
import { Marks } from './marks.js';
import { onNetworkChange } from './network.js';

/** @typedef {import('./types.js').FailReason} FailReason */
/** @typedef {import('./types.js').MediaState} MediaState */
/** @typedef {import('./stats.js').Quality} Quality */
/** @typedef {import('./link.js').LinkState} LinkState */
/** @typedef {import('./link.js').Kind} Kind */
/** @typedef {import('./room.js').Room} Room */
/** @typedef {import('./room.js').RoomPort} RoomPort */
/** @typedef {import('./room.js').Peer} Peer */
/** @typedef {import('./room.js').Signal} Signal */

/**
 * @typedef {object} CallOptions
 * @property {MediaStream | null | (() => MediaStream | null)} [stream] our devices; may come or change later by `setTrack`
 * @property {boolean} [relay] hide our address: media through TURN only
 * @property {Kind[]} [kinds] what is negotiated; default: as the room's mode says
 * @property {number} [maxBitrate] of our picture, bits a second, for all peers together
 * @property {typeof globalThis.RTCPeerConnection} [RTCPeerConnection]
 */

/**
 * @typedef {object} CallEvents
 * @property {{peer: string, stream: MediaStream}} remote a peer's stream is there or got another track
 * @property {{peer: string}} path ICE found a way to a peer: media follows, and no script is needed for it
 * @property {{peer: string, state: LinkState, reason: FailReason | ''}} state
 * @property {{peer: string, quality: Quality}} quality
 * @property {{peer: string, media: MediaState}} media what a peer says it sends
 * @property {{peer: string, ms: number}} frame a peer's first picture, ms after the room was entered
 * @property {{peer: string}} hangup a peer ended its side of the call, and stays in the room
 * @property {MediaState} local what we send changed
 */

const frameWait = 5000; // ms that the report waits for the first picture

/**
 * Our part in a room's call: one Link per peer (a mesh), our tracks and what
 * they are, and the reports for the operator's metrics. Made by
 * `room.startCall()`.
 *
 * @extends {Emitter<CallEvents>}
 */
export class Call extends Emitter {
  /** What we send, as the peers are told. @type {MediaState} */
  local = { audio: false, video: false, screen: false };

  #room;
  #port;
  #o;
  #kinds;
  /** @type {Map<string, Link>} */
  #links = new Map();
  /** @type {Record<Kind, MediaStreamTrack | null>} */
  #tracks = { audio: null, video: null };
  #screen = false;
  /** @type {Map<string, {timer: ReturnType<typeof setTimeout>, send: (ms?: number) => void}>} */
  #reports = new Map();
  /** @type {Set<string>} peers with a report `connected` out */
  #reported = new Set();
  /** @type {(() => void)[]} */
  #stops = [];
  #closed = false;
  #spare;

  /**
   * @param {Room} room
   * @param {RoomPort} port
   * @param {CallOptions} options
   * @param {import('./spare.js').Spare | null} [spare] for a matched room
   */
  constructor(room, port, options, spare = null) {
    super();
    this.#spare = spare;
    this.#room = room;
    this.#port = port;
    this.#o = options;
    this.#kinds = kindsOf(options, room.mode);
    for (const track of streamOf(options)?.getTracks() ?? []) this.#tracks[/** @type {Kind} */ (track.kind)] = track;
    this.#look();
  }

  /** For Room. */
  start() {
    const room = this.#room;
    this.#stops.push(
      room.on('joined', (peer) => this.#connect(peer.id)),
      room.on('left', ({ peer }) => this.#disconnect(peer.id)),
      room.on('back', ({ peer, fresh }) => this.#back(peer.id, fresh)),
      room.on('signal', (s) => this.#signal(s)),
      room.on('reset', () => this.#reset()),
      room.on('resync', () => this.#each((link) => link.signalsLost())),
      room.on('connection', (there) => {
        if (there) this.#each((link) => link.reachableAgain());
      }),
      onNetworkChange(() => this.#each((link) => link.networkChanged())),
    );
    for (const id of room.peers.keys()) this.#connect(id);
    this.#spare?.close(); // it was for nobody
  }

  /** Ids of the peers we are linked to. */
  get peers() {
    return [...this.#links.keys()];
  }

  /**
   * @param {string} peer id
   * @returns {Link | undefined}
   */
  link(peer) {
    return this.#links.get(peer);
  }

  /**
   * Sends this track from now on, or none of its kind.
   *
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   * @param {{screen?: boolean}} [options] screen: the picture is a shared screen
   */
  async setTrack(kind, track, { screen = false } = {}) {
    this.#tracks[kind] = track;
    if (kind === 'video') this.#screen = screen && track !== null;
    this.mediaChanged();
    await Promise.allSettled([...this.#links.values()].map((link) => link.replace(kind)));
  }

  /** Tells the peers what we send; call it after changing a track's `enabled`. */
  mediaChanged() {
    const before = JSON.stringify(this.local);
    this.#look();
    if (JSON.stringify(this.local) === before) return;
    for (const id of this.#links.keys()) this.#send(id, 'media', this.local);
    this.emit('local', this.local);
  }

  /**
   * Shows a peer in a video element, and takes the time of its first picture.
   *
   * @param {string} peer id
   * @param {HTMLVideoElement} video
   */
  attach(peer, video) {
    const link = this.#links.get(peer);
    if (!link) return;
    if (video.srcObject !== link.stream) video.srcObject = link.stream;
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(() => this.#links.get(peer)?.sawFrame());
  }

  /**
   * Tries a failed connection again.
   *
   * @param {string} peer id
   * @param {{relay?: boolean}} [options] relay: through TURN only
   */
  async retry(peer, options) {
    await this.#links.get(peer)?.retry(options);
  }

  /** Ends our side of the call without leaving the room. */
  hangup() {
    for (const id of this.#links.keys()) this.#send(id, 'hangup', {});
    this.close();
  }

  /** Ends everything; done by the room when it is over. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stops.splice(0)) stop();
    for (const id of [...this.#links.keys()]) this.#disconnect(id);
  }

  /**
   * Tells the server that our devices could not be opened, for its metrics.
   */
  reportDenied() {
    for (const id of this.#room.peers.keys()) this.#report(id, { state: 'failed', reason: 'media-denied' });
  }

  // ---- peers ----

  /** @param {string} id */
  #connect(id) {
    if (this.#closed || this.#links.has(id) || this.#kinds.length === 0) return;
    const matched = this.#room.kind === 'matched';
    const marks = matched ? this.#room.marks : new Marks();
    marks.note('matched');
    const link = new Link({
      offers: this.#room.offers(id),
      relay: this.#room.relayOnly || this.#o.relay === true,
      kinds: this.#kinds,
      track: (kind) => this.#tracks[kind],
      ice: (force) => this.#port.ice(force),
      signal: (kind, d) => this.#send(id, kind, d),
      reachable: () => this.#port.online() && this.#room.peers.get(id)?.away === false,
      since: performance.now(),
      marks,
      spare: matched ? this.#spare : null,
      RTCPeerConnection: this.#o.RTCPeerConnection,
    });
    this.#spare = null;
    this.#links.set(id, link);
    link.on('state', (e) => this.#state(id, link, e.state, e.reason));
    link.on('path', () => this.emit('path', { peer: id }));
    link.on('remote', (stream) => this.emit('remote', { peer: id, stream }));
    link.on('quality', (quality) => this.emit('quality', { peer: id, quality }));
    link.on('frame', (ms) => {
      this.emit('frame', { peer: id, ms });
      this.#reports.get(id)?.send(ms);
    });
    link.on('up', ({ pair, setupMs }) => this.#connected(id, pair, setupMs, marks));
    void link.start();
    this.#send(id, 'media', this.local);
    this.#shareBitrate();
  }

  /** @param {string} id */
  #disconnect(id) {
    const link = this.#links.get(id);
    if (!link) return;
    this.#reports.get(id)?.send();
    if (this.#reported.delete(id)) this.#report(id, { state: 'ended' });
    this.#links.delete(id);
    link.close();
    this.#shareBitrate();
  }

  /**
   * @param {string} id
   * @param {boolean} fresh
   */
  #back(id, fresh) {
    const link = this.#links.get(id);
    if (!link) {
      this.#connect(id);
      return;
    }
    if (!fresh) {
      link.reachableAgain();
      return;
    }
    void link.renew();
    this.#send(id, 'media', this.local);
  }

  #reset() {
    for (const id of [...this.#links.keys()]) this.#disconnect(id);
    for (const id of this.#room.peers.keys()) this.#connect(id);
  }

  /** @param {(link: Link) => void} fn */
  #each(fn) {
    for (const link of this.#links.values()) fn(link);
  }

  // ---- signals ----

  /** @param {Signal} s */
  #signal(s) {
    const from = s.from || (this.#room.kind === 'matched' ? (this.#room.peers.keys().next().value ?? '') : '');
    const link = this.#links.get(from);
    if (!link) return;
    if (s.kind === 'hangup') {
      this.#disconnect(from);
      this.emit('hangup', { peer: from });
      return;
    }
    link.signalled(s.kind, s.d);
    if (s.kind === 'media') {
      const media = { audio: s.d.audio === true, video: s.d.video === true, screen: s.d.screen === true };
      link.media = media;
      this.emit('media', { peer: from, media });
    }
  }

  /**
   * Sends a signal as a request, so that one whose socket broke is sent again
   * after the resume, in order and once.
   *
   * @param {string} id
   * @param {string} kind
   * @param {object} d
   */
  #send(id, kind, d) {
    const to = this.#room.kind === 'matched' ? undefined : id;
    this.#port.request('signal', d, { room: this.#room.id, to, kind, timeout: 30_000 }).catch(() => {
      // stale_call, peer_gone: the room's own events tell; a lost one is mended by restarts
    });
  }

  // ---- state ----

  /**
   * @param {string} id
   * @param {Link} link
   * @param {LinkState} state
   * @param {FailReason | ''} reason
   */
  #state(id, link, state, reason) {
    if (this.#links.get(id) !== link) return;
    if (state === 'failed') {
      this.#reported.delete(id);
      const pair = link.pair;
      this.#report(id, { state: 'failed', reason: reason || 'other', ...(pair ? wirePair(pair) : {}) });
    }
    // What broke the way to the peer may have broken the one to the server, and
    // nothing else may tell for a long time.
    if (state === 'reconnecting') this.#port.probe();
    this.emit('state', { peer: id, state, reason });
  }

  #look() {
    const on = (/** @type {MediaStreamTrack | null} */ t) => t !== null && t.enabled && t.readyState === 'live';
    const video = on(this.#tracks.video);
    this.local = { audio: on(this.#tracks.audio), video, screen: video && this.#screen };
  }

  /** Shares what we may send among the peers of the mesh. */
  #shareBitrate() {
    const total = this.#o.maxBitrate ?? 2_500_000;
    const each = Math.max(150_000, Math.floor(total / Math.max(1, this.#links.size)));
    this.#each((link) => void link.limit(each));
  }

  // ---- reports ----

  /**
   * The report waits for the first picture, so that both times are in one.
   *
   * @param {string} id
   * @param {import('./stats.js').Pair} pair
   * @param {number} setupMs
   * @param {Marks} marks
   */
  #connected(id, pair, setupMs, marks) {
    const send = (/** @type {number | undefined} */ frameMs) => {
      clearTimeout(timer);
      if (!this.#reports.delete(id)) return;
      this.#reported.add(id);
      this.#report(id, { state: 'connected', ...wirePair(pair), setup_ms: setupMs, ...(frameMs ? { first_frame_ms: frameMs } : {}), steps: marks.steps() });
    };
    const timer = setTimeout(send, this.#kinds.includes('video') ? frameWait : 0);
    this.#reports.set(id, { timer, send });
  }

  /**
   * @param {string} peer
   * @param {object} d
   */
  #report(peer, d) {
    this.#port.send('call.state', { ...d, room: this.#room.id, peer });
  }
}

/**
 * @param {CallOptions} options
 * @returns {MediaStream | null | undefined}
 */
export function streamOf({ stream }) {
  return typeof stream === 'function' ? stream() : stream;
}

/**
 * @param {CallOptions} options
 * @param {import('./types.js').Mode} mode of the room
 * @returns {Kind[]}
 */
export function kindsOf({ kinds }, mode) {
  return kinds ?? (mode === 'text' ? [] : mode === 'audio' ? ['audio'] : ['audio', 'video']);
}

/** @param {import('./stats.js').Pair} pair */
function wirePair(pair) {
  /** @type {Record<string, string>} */
  const d = {};
  if (pair.local) d.local = pair.local;
  if (pair.remote) d.remote = pair.remote;
  if (pair.protocol) d.protocol = pair.protocol;
  if (pair.relayProtocol) d.relay_protocol = pair.relayProtocol;
  return d;
}
