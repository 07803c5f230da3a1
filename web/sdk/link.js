import { Emitter } from './emitter.js';
import { addTransceivers, configuration, outStream } from './peer.js';
import { label, origin } from './sdp.js';
import { judge, read } from './stats.js';
import { Timers } from './timers.js';

/** @typedef {import('./types.js').Ice} Ice */
/** @typedef {import('./types.js').FailReason} FailReason */
/** @typedef {import('./types.js').MediaState} MediaState */
/** @typedef {import('./stats.js').Quality} Quality */
/** @typedef {import('./stats.js').Pair} Pair */

/**
 * `connecting` (for the first time), `connected`, `reconnecting` (was
 * connected), `failed` (gave up; `retry` starts over), `closed`.
 *
 * @typedef {'connecting' | 'connected' | 'reconnecting' | 'failed' | 'closed'} LinkState
 */

/** @typedef {import('./peer.js').Kind} Kind */

/**
 * @typedef {object} LinkEvents
 * @property {{state: LinkState, reason: FailReason | ''}} state
 * @property {null} path ICE found a way to the other side
 * @property {MediaStream} remote a track came; the stream stays the same one
 * @property {Quality} quality every two seconds while connected
 * @property {{pair: Pair, setupMs: number}} up connected for the first time
 * @property {number} frame the first picture of the other side, ms after the start
 */

/**
 * @typedef {object} LinkOptions
 * @property {boolean} offers we start the negotiation, and are the impolite one
 * @property {boolean} relay media through TURN only
 * @property {Kind[]} kinds what is negotiated
 * @property {(kind: Kind) => MediaStreamTrack | null} track what we send now
 * @property {number} [maxBitrate] of our picture, bits a second
 * @property {(force: boolean) => Promise<Ice | undefined>} ice
 * @property {(kind: string, d: object) => void} signal
 * @property {() => boolean} reachable whether signals can reach the other side now
 * @property {number} [since] performance.now() that times are counted from
 * @property {import('./marks.js').Marks} [marks] what is noted when it happens for the first time
 * @property {import('./spare.js').Spare | null} [spare] a peer connection that was made ahead
 * @property {typeof globalThis.RTCPeerConnection} [RTCPeerConnection]
 */

const gracePeriod = 1000; // ms that silence may heal by itself, after a browser took seconds to call it so
const answerPatience = 3000; // ms for the impolite side to restart when asked
const attemptTime = 8000; // ms for one restart to succeed
const setupTime = 10_000; // ms for the first attempt
const maxAttempts = 3; // restarts in a row without success; one less before the first success
const maxUnanswered = 6; // the same while nobody answers: the server takes ping_ms + 10 s to notice a silent peer
const settleTime = 700; // ms after a negotiation to look whether the connection held
const statsEvery = 2000;
const candidateBatch = 15; // ms; the first ones, which may be all that were gathered ahead, do not wait

/**
 * The connection to one peer: perfect negotiation (W3C webrtc-pc, section
 * 10.7), trickle ICE, restarts, quality. The other side may throw its
 * RTCPeerConnection away at any time (a reload); the `o=` line tells.
 *
 * @extends {Emitter<LinkEvents>}
 */
export class Link extends Emitter {
  /** @type {LinkState} */
  state = 'connecting';
  /** What the other side sends. */
  stream = new MediaStream();
  /** What the other side says it sends. @type {MediaState} */
  media = { audio: true, video: true, screen: false };
  /** @type {Quality | null} */
  quality = null;

  #o;
  #relay;
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  #start;
  #dead = false;

  // Negotiation, as in the specification's example.
  #makingOffer = false;
  #lastRemote = ''; // session of the other side's last description
  #ignoreOffer = false;
  #settingAnswer = false;
  /** @type {Promise<void>} signals are taken one after another */
  #queue = Promise.resolve();
  /** @type {(RTCIceCandidateInit | null)[]} of the other side, before its description */
  #waitingCandidates = [];
  /** @type {(RTCIceCandidateInit | null)[]} ours, to be sent together */
  #outgoing = [];
  #trickled = false; // candidates of this peer connection were sent
  #holding = false; // our candidates wait for the description they belong to

  // Getting and staying connected.
  #attempts = 0;
  #wasUp = false;
  #iceUp = false; // ICE got through at least once: a failure is not its fault
  #sawRelay = false;
  #restartWaits = false; // for the way to the other side
  #firstFrame = false;
  #silent = false; // nothing comes in, and that was acted on
  /** @type {import('./stats.js').Reading | null} */
  #reading = null;
  #timers = new Timers();

  /** @param {LinkOptions} options */
  constructor(options) {
    super();
    this.#o = options;
    this.#relay = options.relay;
    this.#start = options.since ?? performance.now();
  }

  /** Whether media of ours may go through TURN only. */
  get relay() {
    return this.#relay;
  }

  /** The selected candidate pair, as last read. @type {Pair | null} */
  get pair() {
    return this.#reading?.pair ?? null;
  }

  /** Begins: offers if that is our part, else waits for the offer. */
  async start() {
    this.#timers.set('setup', setupTime, () => this.restart());
    const ahead = this.#o.spare?.take({ offers: this.#o.offers, relay: this.#relay });
    if (ahead) {
      this.#begin(ahead);
      return;
    }
    const ice = await this.#o.ice(false);
    if (this.#dead || this.#pc) return;
    this.#make(ice, this.#o.offers);
  }

  /**
   * Takes a signal of the other side.
   *
   * @param {string} kind
   * @param {any} d
   */
  signalled(kind, d) {
    this.#queue = this.#queue.then(() => this.#signal(kind, d)).catch((err) => this.#trouble(err));
  }

  /**
   * Sends another track of this kind, or none; no negotiation is needed.
   * @param {Kind} kind
   */
  async replace(kind) {
    const sender = this.#sender(kind);
    if (!sender) return;
    await sender.replaceTrack(this.#o.track(kind));
    if (kind === 'video') await this.#capBitrate(sender);
  }

  /** @param {number} bps of our picture */
  async limit(bps) {
    this.#o.maxBitrate = bps;
    const sender = this.#sender('video');
    if (sender) await this.#capBitrate(sender);
  }

  /**
   * The other side lost its call, or we lost what was signalled: a new
   * RTCPeerConnection.
   */
  async renew() {
    if (this.#dead) return;
    this.#attempts = 0;
    this.#setState(this.#wasUp ? 'reconnecting' : 'connecting');
    this.#discard();
    this.#timers.set('setup', setupTime, () => this.restart());
    const ice = await this.#o.ice(false);
    if (!this.#dead && !this.#pc) this.#make(ice, this.#o.offers);
  }

  /**
   * Starts over after a failure, offering whatever our part is.
   * @param {{relay?: boolean}} [options] relay: from now on through TURN only
   */
  async retry({ relay = this.#relay } = {}) {
    if (this.#dead) return;
    this.#relay = relay;
    this.#attempts = 0;
    this.#iceUp = this.#sawRelay = false;
    this.#setState(this.#wasUp ? 'reconnecting' : 'connecting');
    this.#discard();
    this.#timers.set('setup', setupTime, () => this.restart());
    const ice = await this.#o.ice(true);
    if (!this.#dead && !this.#pc) this.#make(ice, true);
  }

  /**
   * Restarts ICE with fresh credentials: at once on our own account when we
   * are the impolite one; else we ask, and do it ourselves if nothing comes.
   */
  restart() {
    if (this.#dead || this.state === 'failed') return;
    this.#wavering();
    if (!this.#o.reachable()) {
      this.#restartWaits = true; // signals would go nowhere
      return;
    }
    this.#restartWaits = false;
    if (this.#attempts >= this.#patience()) {
      if (this.#pc?.connectionState === 'connected') this.#up(); // it was only a precaution
      else this.#fail();
      return;
    }
    this.#attempts++;
    if (this.#o.offers) {
      this.#restartInTurn();
      return;
    }
    this.#o.signal('restart', {});
    this.#timers.set('restart', answerPatience, () => this.#restartInTurn());
    this.#timers.set('attempt', answerPatience + attemptTime, () => this.restart());
  }

  /** How many restarts in a row are made. */
  #patience() {
    if (!this.#wasUp) return maxAttempts - 1;
    return this.#pc?.signalingState === 'have-local-offer' ? maxUnanswered : maxAttempts;
  }

  /** The network under us changed, and ICE may take long to notice. */
  networkChanged() {
    if (this.state !== 'connected' && this.state !== 'reconnecting') return;
    this.#timers.set('network', 1000, () => this.restart());
  }

  /** Signals can reach the other side again. */
  reachableAgain() {
    if (this.#dead) return;
    if (this.#restartWaits) this.restart();
    else if (this.state === 'failed' && this.#wasUp) void this.retry();
  }

  /** Pushes were lost, so maybe a description was. */
  signalsLost() {
    if (this.state !== 'connected') this.restart();
  }

  close() {
    if (this.#dead) return;
    this.#dead = true;
    this.#discard();
    this.#setState('closed');
  }

  // ---- the peer connection ----

  /**
   * @param {Ice | undefined} ice
   * @param {boolean} offer
   */
  #make(ice, offer) {
    const PC = this.#o.RTCPeerConnection ?? globalThis.RTCPeerConnection;
    const pc = new PC(configuration(ice, this.#relay));
    this.#use(pc);
    if (offer) this.#add(pc);
  }

  /**
   * Goes on with a peer connection that was made ahead, and its offer.
   *
   * @param {RTCPeerConnection} pc
   */
  #begin(pc) {
    this.#use(pc);
    const sdp = pc.localDescription?.sdp;
    if (!sdp) {
      if (this.#o.offers) this.#add(pc);
      return;
    }
    if (/ typ relay /.test(sdp)) this.#sawRelay = true;
    this.#describe('offer', { sdp });
    for (const kind of this.#o.kinds) void this.replace(kind); // devices may have been opened later
  }

  /** @param {RTCPeerConnection} pc */
  #use(pc) {
    this.#pc = pc;
    pc.onnegotiationneeded = () => void this.#negotiate(pc);
    pc.onicecandidate = (e) => this.#candidate(pc, e.candidate);
    pc.ontrack = (e) => this.#track(e.track);
    pc.onconnectionstatechange = () => this.#connectionChanged(pc);
    pc.oniceconnectionstatechange = () => {
      if (pc.iceConnectionState !== 'connected' && pc.iceConnectionState !== 'completed') return;
      this.#iceUp = true;
      this.#o.marks?.note('ice');
      this.emit('path', null);
    };
  }

  /** @param {RTCPeerConnection} pc */
  #add(pc) {
    addTransceivers(pc, this.#o.kinds, this.#o.track);
    const video = this.#sender('video');
    if (video) void this.#capBitrate(video);
  }

  /**
   * Sends a description.
   *
   * @param {'offer' | 'answer'} type
   * @param {{sdp: string, re?: string}} d
   */
  #describe(type, d) {
    this.#o.marks?.note(type);
    this.#o.signal(type, d);
  }

  /** Lets go of the peer connection and all that belonged to it. */
  #discard() {
    this.#timers.clearAll();
    const pc = this.#pc;
    this.#pc = null;
    this.#waitingCandidates = [];
    this.#outgoing = [];
    this.#makingOffer = this.#ignoreOffer = this.#settingAnswer = this.#holding = this.#trickled = false;
    this.#restartWaits = false;
    this.#reading = null;
    for (const track of this.stream.getTracks()) this.stream.removeTrack(track);
    if (!pc) return;
    pc.onnegotiationneeded = pc.onicecandidate = pc.ontrack = pc.onconnectionstatechange = pc.oniceconnectionstatechange = null;
    pc.close();
  }

  /**
   * @param {Kind} kind
   * @returns {RTCRtpSender | undefined}
   */
  #sender(kind) {
    return this.#pc?.getTransceivers().find((t) => t.receiver.track.kind === kind && t.direction !== 'stopped')?.sender;
  }

  /** @param {MediaStreamTrack} track */
  #track(track) {
    for (const old of this.stream.getTracks()) if (old.kind === track.kind && old !== track) this.stream.removeTrack(old);
    this.stream.addTrack(track);
    this.emit('remote', this.stream);
  }

  /** @param {RTCRtpSender} sender */
  async #capBitrate(sender) {
    const max = this.#o.maxBitrate;
    if (!max) return;
    try {
      const p = sender.getParameters();
      if (!p.encodings?.length || p.encodings[0].maxBitrate === max) return;
      for (const e of p.encodings) e.maxBitrate = max;
      await sender.setParameters(p);
    } catch {
      // before negotiation, or not supported: the browser decides
    }
  }

  // ---- negotiation ----

  /** @param {RTCPeerConnection} pc */
  async #negotiate(pc) {
    if (pc !== this.#pc || this.#makingOffer) return;
    try {
      this.#makingOffer = this.#holding = true;
      await pc.setLocalDescription();
      if (pc !== this.#pc) return;
      const local = pc.localDescription;
      // An offer of the other side may have been answered meanwhile.
      if (local?.type === 'offer') this.#describe('offer', { sdp: local.sdp });
    } catch (err) {
      this.#trouble(err);
    } finally {
      if (pc === this.#pc) {
        this.#makingOffer = this.#holding = false;
        this.#sendCandidates();
      }
    }
  }

  /**
   * @param {string} kind
   * @param {any} d
   */
  async #signal(kind, d) {
    if (this.#dead) return;
    switch (kind) {
      case 'offer':
        this.#o.marks?.note('offer');
        await this.#offered(String(d.sdp));
        break;
      case 'answer':
        this.#o.marks?.note('answer');
        await this.#answered(String(d.sdp), d.re);
        break;
      case 'candidate':
        await this.#addCandidate(d.candidate ?? null);
        break;
      case 'candidates':
        for (const c of Array.isArray(d.candidates) ? d.candidates : []) await this.#addCandidate(c);
        break;
      case 'restart':
        this.#wavering();
        // Whoever was away asks, is asked, and gets several asks at once: an offer
        // that is on its way does for all.
        if (this.#pc?.signalingState !== 'have-local-offer' || !this.#timers.has('attempt')) await this.#restartNow();
        break;
      case 'media':
        this.media = { audio: d.audio === true, video: d.video === true, screen: d.screen === true };
        break;
    }
  }

  /** @param {string} sdp */
  async #offered(sdp) {
    await this.#freshFor(sdp);
    const pc = this.#pc;
    if (!pc) return;
    const ready = !this.#makingOffer && (pc.signalingState === 'stable' || this.#settingAnswer);
    this.#ignoreOffer = this.#o.offers && !ready;
    if (this.#ignoreOffer) return;
    this.#timers.clear('restart'); // what we asked for
    this.#holding = true;
    try {
      await pc.setRemoteDescription({ type: 'offer', sdp });
      this.#lastRemote = origin(sdp).session;
      if (pc !== this.#pc) return;
      await this.#adopt(pc);
      await this.#flushCandidates(pc);
      await pc.setLocalDescription();
      if (pc !== this.#pc) return;
      // `re` names the offer, so that an answer to an older one is told apart.
      this.#describe('answer', { sdp: pc.localDescription?.sdp ?? '', re: label(sdp) });
      this.#negotiated(pc);
    } finally {
      if (pc === this.#pc) {
        this.#holding = false;
        this.#sendCandidates();
      }
    }
  }

  /**
   * @param {string} sdp
   * @param {unknown} re the offer that it answers; not every client says
   */
  async #answered(sdp, re) {
    const pc = this.#pc;
    if (!pc || pc.signalingState !== 'have-local-offer') return;
    if (typeof re === 'string' && re !== label(pc.localDescription?.sdp)) return;
    const known = origin(pc.remoteDescription?.sdp).session;
    if (known && known !== origin(sdp).session) {
      await this.renew(); // the other side has a new connection; ours cannot go on with it
      return;
    }
    this.#settingAnswer = true;
    try {
      await pc.setRemoteDescription({ type: 'answer', sdp });
      this.#lastRemote = origin(sdp).session;
    } finally {
      this.#settingAnswer = false;
    }
    if (pc !== this.#pc) return;
    await this.#flushCandidates(pc);
    this.#negotiated(pc);
  }

  /**
   * Makes sure that there is a peer connection which may take this offer: a
   * new one if the offer comes from another connection than the last.
   *
   * @param {string} sdp
   */
  async #freshFor(sdp) {
    const known = origin(this.#pc?.remoteDescription?.sdp).session;
    if (this.#pc && (!known || known === origin(sdp).session)) return;
    if (this.#pc) {
      this.#discard();
      this.#setState(this.#wasUp ? 'reconnecting' : 'connecting');
      this.#attempts = 0;
      this.#timers.set('setup', setupTime, () => this.restart());
    } else if (this.state === 'failed') {
      // An offer of the connection that we gave up is an automatic restart: if
      // each side's restarts revived the other, neither would ever fail. One
      // of a new connection means that somebody pressed "try again".
      if (origin(sdp).session === this.#lastRemote) return;
      this.#setState(this.#wasUp ? 'reconnecting' : 'connecting'); // the other side tries again
      this.#attempts = 0;
      this.#timers.set('setup', setupTime, () => this.restart());
    }
    const ice = await this.#o.ice(false);
    if (!this.#dead && !this.#pc) this.#make(ice, false);
  }

  /**
   * Sends our tracks through the transceivers that the offer made. (Adding
   * tracks before would make an offer of our own, and a glare.)
   *
   * @param {RTCPeerConnection} pc
   */
  async #adopt(pc) {
    /** @type {Set<string>} */
    const done = new Set();
    for (const t of pc.getTransceivers()) {
      const kind = /** @type {Kind} */ (t.receiver.track.kind);
      if (done.has(kind) || t.mid === null || t.direction === 'stopped' || !this.#o.kinds.includes(kind)) continue;
      done.add(kind);
      if (t.direction !== 'sendrecv') t.direction = 'sendrecv';
      t.sender.setStreams?.(outStream(pc));
      const track = this.#o.track(kind);
      if (t.sender.track !== track) await t.sender.replaceTrack(track);
      if (kind === 'video') void this.#capBitrate(t.sender);
    }
  }

  // ---- candidates ----

  /**
   * @param {RTCPeerConnection} pc
   * @param {RTCIceCandidate | null} candidate null: there are no more
   */
  #candidate(pc, candidate) {
    if (pc !== this.#pc) return;
    if (candidate?.candidate && / typ relay /.test(candidate.candidate)) this.#sawRelay = true;
    if (candidate && !candidate.candidate) return; // end of one generation; null follows
    this.#outgoing.push(candidate ? candidate.toJSON() : null);
    if (!this.#timers.has('candidates')) this.#timers.set('candidates', this.#trickled ? candidateBatch : 0, () => this.#sendCandidates());
  }

  #sendCandidates() {
    if (this.#holding || this.#outgoing.length === 0) return;
    this.#timers.clear('candidates');
    this.#trickled = true;
    const list = this.#outgoing.splice(0);
    const real = list.filter((c) => c !== null);
    if (real.length === 1) this.#o.signal('candidate', { candidate: real[0] });
    else if (real.length > 1) this.#o.signal('candidates', { candidates: real });
    if (list.includes(null)) this.#o.signal('candidate', { candidate: null });
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  async #addCandidate(candidate) {
    const pc = this.#pc;
    if (!pc || !pc.remoteDescription || pc.signalingState === 'have-local-offer') {
      // For a description still to come; after a restart the last one's ufrag
      // says which it belongs to, so keeping it back does no harm.
      if (this.#waitingCandidates.length < 100) this.#waitingCandidates.push(candidate);
      return;
    }
    await this.#apply(pc, candidate);
  }

  /** @param {RTCPeerConnection} pc */
  async #flushCandidates(pc) {
    for (const c of this.#waitingCandidates.splice(0)) await this.#apply(pc, c);
  }

  /**
   * @param {RTCPeerConnection} pc
   * @param {RTCIceCandidateInit | null} candidate
   */
  async #apply(pc, candidate) {
    if (!candidate) return; // the end of candidates changes nothing for us
    try {
      await pc.addIceCandidate(candidate);
    } catch {
      // of an offer that we ignored, or of an earlier connection: not ours to use
    }
  }

  // ---- staying connected ----

  /** Restarts when the signals before are dealt with: none is half done then. */
  #restartInTurn() {
    this.#queue = this.#queue.then(() => this.#restartNow()).catch((err) => this.#trouble(err));
  }

  /** Says that we reconnect, unless the restart is only a precaution. */
  #wavering() {
    if (this.state === 'connected' && this.#pc?.connectionState !== 'connected') this.#setState('reconnecting');
  }

  /**
   * @param {import('./stats.js').Reading | null} before
   * @param {import('./stats.js').Reading} now
   * @returns {boolean} nothing came in between, though the other side says that it sends
   */
  #isSilence(before, now) {
    if (!before || now.at - before.at < statsEvery / 2 || !(this.media.audio || this.media.video)) return false;
    return before.received > 0 && now.received === before.received;
  }

  /**
   * Silence, which ICE takes some seconds more to call `disconnected`. It is
   * acted on once: a browser in the background may stop sending and tell nobody.
   */
  #fellSilent() {
    if (this.#silent) return;
    this.#silent = true;
    if (this.state !== 'connected') return;
    this.#setState('reconnecting');
    this.#timers.set('grace', gracePeriod, () => this.restart());
  }

  /** @param {RTCPeerConnection} pc through which something comes in */
  #heard(pc) {
    this.#silent = false;
    if (this.state === 'reconnecting' && pc.connectionState === 'connected' && pc.signalingState === 'stable') this.#up();
  }

  /**
   * A negotiation is done. A restart of a connection that still works makes no
   * connectionstatechange, so look whether all is well.
   *
   * @param {RTCPeerConnection} pc
   */
  #negotiated(pc) {
    this.#timers.set('settled', settleTime, () => {
      if (pc === this.#pc && pc.connectionState === 'connected') this.#up();
    });
  }

  async #restartNow() {
    const pc = this.#pc;
    if (!pc || this.#dead) return;
    this.#timers.clear('restart');
    const ice = await this.#o.ice(true);
    if (pc !== this.#pc) return;
    try {
      pc.setConfiguration(configuration(ice, this.#relay));
    } catch {
      // the old servers will have to do
    }
    this.#timers.set('attempt', attemptTime, () => this.restart());
    if (!pc.remoteDescription && !this.#o.offers && pc.signalingState === 'stable') return; // no offer ever came; we asked for one
    if (pc.signalingState === 'have-local-offer') {
      await pc.setLocalDescription({ type: 'rollback' });
      if (pc !== this.#pc) return;
    }
    pc.restartIce();
    await this.#negotiate(pc);
  }

  /** @param {RTCPeerConnection} pc */
  #connectionChanged(pc) {
    if (pc !== this.#pc) return;
    switch (pc.connectionState) {
      case 'connected':
        this.#up();
        break;
      case 'disconnected':
        this.#wavering();
        if (this.#timers.has('attempt')) break; // a restart is under way
        this.#timers.set('grace', gracePeriod, () => this.restart());
        break;
      case 'failed':
        if (this.#iceUp && !this.#wasUp) this.#fail('dtls');
        else this.restart();
        break;
    }
  }

  #up() {
    this.#timers.clear('setup', 'grace', 'restart', 'attempt', 'network', 'settled');
    this.#attempts = 0;
    this.#restartWaits = false;
    const first = !this.#wasUp;
    this.#o.marks?.note('connected');
    this.#wasUp = true;
    this.#setState('connected');
    void this.#measure(first);
    if (!this.#firstFrame && this.#o.kinds.includes('video')) void this.#watchFrames(0);
  }

  /**
   * @param {FailReason} [reason]
   */
  #fail(reason) {
    const why = reason ?? this.#why();
    this.#discard();
    this.#setState('failed', why);
  }

  /** @returns {FailReason} */
  #why() {
    if (this.#wasUp) return 'ice-disconnected';
    if (this.#relay && !this.#sawRelay) return 'no-turn';
    return 'ice-timeout';
  }

  // ---- measuring ----

  /** @param {boolean} first */
  async #measure(first) {
    const pc = this.#pc;
    if (!pc || this.#dead) return;
    const setupMs = Math.round(performance.now() - this.#start);
    try {
      const now = read(values(await pc.getStats()), performance.now());
      if (pc !== this.#pc) return;
      const before = this.#reading;
      this.#reading = now;
      if (first) this.emit('up', { pair: now.pair, setupMs });
      if (now.frames > 0) this.#framed();
      this.quality = judge(before, now, { video: this.media.video && this.#o.kinds.includes('video') });
      const silence = this.#isSilence(before, now);
      if (silence || pc.connectionState !== 'connected') this.quality.bars = 0;
      this.emit('quality', this.quality);
      if (silence) this.#fellSilent();
      else if (before !== null && now.received > before.received) this.#heard(pc);
    } catch {
      // closed meanwhile
    }
    if (pc === this.#pc) this.#timers.set('stats', statsEvery, () => void this.#measure(false));
  }

  /**
   * Looks often for the first decoded picture; a page that shows it can tell
   * better by `sawFrame`.
   *
   * @param {number} looks
   */
  async #watchFrames(looks) {
    const pc = this.#pc;
    if (!pc || this.#firstFrame || looks > 50) return;
    const now = read(values(await pc.getStats()), performance.now());
    if (now.frames > 0) this.#framed();
    else this.#timers.set('frames', 200, () => void this.#watchFrames(looks + 1));
  }

  /** The page saw the other side's first picture. */
  sawFrame() {
    this.#framed();
  }

  #framed() {
    if (this.#firstFrame || this.#dead) return;
    this.#firstFrame = true;
    this.#o.marks?.note('frame');
    this.#timers.clear('frames');
    this.emit('frame', Math.round(performance.now() - this.#start));
  }

  // ---- inside ----

  /**
   * @param {LinkState} state
   * @param {FailReason | ''} [reason]
   */
  #setState(state, reason = '') {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', { state, reason });
  }

  /** @param {unknown} err a step of the negotiation failed; a restart may mend it */
  #trouble(err) {
    if (this.#dead) return;
    console.debug('rondo: negotiation', err);
    if (this.state !== 'connected') this.#timers.set('attempt', 1000, () => this.restart());
  }
}

/**
 * @param {RTCStatsReport} report
 * @returns {any[]}
 */
function values(report) {
  /** @type {any[]} */
  const list = [];
  report.forEach((s) => list.push(s));
  return list;
}
