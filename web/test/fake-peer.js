// RTCPeerConnections that follow the signalling rules of W3C webrtc-pc closely
// enough for negotiation, and connect when both sides have applied each
// other's newest descriptions. No media, no network.

let made = 0;

/** Every fake that was made, oldest first. @type {FakePeer[]} */
export const peers = [];

class FakeTransceiver {
  /** @type {string | null} */ mid = null;
  direction = 'sendrecv';
  /** @param {string} kind @param {any} track */
  constructor(kind, track) {
    this.receiver = { track: { kind } };
    this.sender = {
      track,
      /** @param {any} t */
      async replaceTrack(t) {
        this.track = t;
      },
      setStreams() {},
      getParameters: () => ({ encodings: [] }),
    };
  }
}

export class FakePeer {
  signalingState = 'stable';
  connectionState = 'new';
  iceConnectionState = 'new';
  /** @type {any} */ localDescription = null;
  /** @type {any} */ remoteDescription = null;
  /** @type {any} */ onnegotiationneeded = null;
  /** @type {any} */ onicecandidate = null;
  /** @type {any} */ ontrack = null;
  /** @type {any} */ onconnectionstatechange = null;
  /** @type {any} */ oniceconnectionstatechange = null;
  /** @type {FakeTransceiver[]} */ #transceivers = [];
  /** @type {any} what a rollback returns to */ #before = [null, null];
  #version = 1;
  #needed = false;
  #restart = false;
  #closed = false;
  /** @type {any[]} */ candidates = [];

  /** @param {any} config */
  constructor(config) {
    this.config = config;
    this.session = String(++made);
    this.ufrag = `${this.session}.0`;
    peers.push(this);
  }
  get closed() {
    return this.#closed;
  }
  addTransceiver(/** @type {any} */ what) {
    const t = new FakeTransceiver(typeof what === 'string' ? what : what.kind, typeof what === 'string' ? null : what);
    this.#transceivers.push(t);
    this.#need();
    return t;
  }
  getTransceivers() {
    return this.#transceivers;
  }
  setConfiguration(/** @type {any} */ config) {
    this.config = config;
  }
  restartIce() {
    this.#restart = true;
    this.#need();
  }
  async setLocalDescription(/** @type {any} */ d) {
    await null;
    this.#check();
    if (d?.type === 'rollback') {
      if (this.signalingState !== 'have-local-offer') throw new Error('rollback in ' + this.signalingState);
      [this.localDescription, this.remoteDescription] = this.#before;
      this.signalingState = 'stable';
      this.#need();
      return;
    }
    if (this.signalingState === 'have-remote-offer') {
      this.localDescription = this.#describe('answer');
      this.signalingState = 'stable';
      this.#settle();
    } else {
      if (this.signalingState === 'stable') this.#before = [this.localDescription, this.remoteDescription];
      if (this.#restart) this.ufrag = `${this.session}.${this.#version}`;
      this.#restart = false;
      this.#needed = false;
      this.localDescription = this.#describe('offer');
      this.signalingState = 'have-local-offer';
    }
    const ufrag = this.ufrag;
    queueMicrotask(() => {
      if (!this.#closed) this.onicecandidate?.({ candidate: candidate(ufrag) });
    });
  }
  async setRemoteDescription(/** @type {any} */ d) {
    await null;
    this.#check();
    if (d.type === 'offer') {
      if (this.signalingState === 'have-local-offer') {
        [this.localDescription, this.remoteDescription] = this.#before; // implicit rollback
        this.#needed = true;
      } else this.#before = [this.localDescription, this.remoteDescription];
      this.remoteDescription = d;
      this.signalingState = 'have-remote-offer';
      for (let i = this.#transceivers.length; i < 2; i++) this.#transceivers.push(new FakeTransceiver(['audio', 'video'][i], null));
      this.#transceivers.forEach((t, i) => (t.mid = String(i)));
      return;
    }
    if (this.signalingState !== 'have-local-offer') throw new Error('answer in ' + this.signalingState);
    this.remoteDescription = d;
    this.#transceivers.forEach((t, i) => (t.mid = String(i)));
    this.signalingState = 'stable';
    this.#settle();
  }
  async addIceCandidate(/** @type {any} */ c) {
    await null;
    this.#check();
    if (!this.remoteDescription) throw new Error('no remote description');
    if (!this.remoteDescription.sdp.includes(`ufrag:${c.usernameFragment} `)) throw new Error('unknown ufrag');
    this.candidates.push(c);
  }
  received = 0; // packets, of the other side's
  async getStats() {
    return new Map([['in', { id: 'in', type: 'inbound-rtp', packetsReceived: this.received }]]);
  }
  close() {
    this.#closed = true;
    this.connectionState = 'closed';
  }

  /** The test breaks or mends the way between the two. @param {string} state */
  become(state) {
    if (this.connectionState === state) return;
    this.connectionState = state;
    this.iceConnectionState = state;
    this.oniceconnectionstatechange?.();
    this.onconnectionstatechange?.();
  }

  #check() {
    if (this.#closed) throw new Error('closed');
  }
  /** @param {string} type */
  #describe(type) {
    return { type, sdp: `v=0\r\no=- ${this.session} ${++this.#version} IN IP4 0.0.0.0\r\na=ufrag:${this.ufrag} \r\n` };
  }
  #need() {
    this.#needed = true;
    setImmediate(() => {
      if (this.#needed && !this.#closed && this.signalingState === 'stable') this.onnegotiationneeded?.();
    });
  }
  /** Stable with both descriptions: connected, if the other side agrees. */
  #settle() {
    if (this.#needed) this.#need();
    setImmediate(() => {
      for (const other of peers) {
        const mine = this.localDescription?.sdp.includes(`o=- ${this.session} `);
        const agree = mine && !this.closed && !other.closed && this.signalingState === 'stable' && other.signalingState === 'stable' && this.remoteDescription?.sdp === other.localDescription?.sdp && other.remoteDescription?.sdp === this.localDescription?.sdp;
        if (!agree || other === this) continue;
        this.become('connected');
        other.become('connected');
      }
    });
  }
}

/** @param {string} usernameFragment */
function candidate(usernameFragment) {
  const c = { candidate: `candidate:1 1 udp 1 192.0.2.1 1 typ host`, sdpMid: '0', usernameFragment };
  return { ...c, toJSON: () => c };
}

export class FakeStream {
  /** @type {any[]} */ #tracks = [];
  getTracks() {
    return this.#tracks;
  }
  addTrack(/** @type {any} */ t) {
    this.#tracks.push(t);
  }
  removeTrack(/** @type {any} */ t) {
    this.#tracks = this.#tracks.filter((x) => x !== t);
  }
}
