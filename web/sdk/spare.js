import { onNetworkChange } from './network.js';
import { addTransceivers, configuration } from './peer.js';
import { Timers } from './timers.js';

/** @typedef {import('./types.js').Ice} Ice */
/** @typedef {import('./peer.js').Kind} Kind */

/**
 * @typedef {object} SpareOptions
 * @property {boolean} relay media through TURN only
 * @property {Kind[]} kinds what is negotiated
 * @property {(kind: Kind) => MediaStreamTrack | null} track what we send now
 * @property {() => Ice | Promise<Ice | undefined>} ice at once where it is at hand
 * @property {typeof globalThis.RTCPeerConnection} [RTCPeerConnection]
 */

const offerAfter = 250; // ms of a search: who is not found at once is the one who waited, and offers
const gatherFor = 60_000; // ms that relays are held for someone who does not come
const maxGathers = 3; // in one search, however often the network changes

/**
 * A peer connection that is made while a search goes on, so that the call can
 * begin in the moment in which somebody is found: its candidates are gathered,
 * relays included, and after a while its offer is there too. What it holds at
 * the TURN server it lets go when nobody came for a minute.
 */
export class Spare {
  #o;
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** How far its offer is. @type {'none' | 'making' | 'made'} */
  #offer = 'none';
  #relay = false; // made for TURN only
  #waits = false; // the search goes on
  #gathers = 0;
  #made = 0; // rises with every peer connection
  #timers = new Timers();
  #stop;

  /** @param {SpareOptions} options */
  constructor(options) {
    this.#o = options;
    this.#stop = onNetworkChange(() => void this.#make(this.#gathers < maxGathers));
    void this.#make(true);
  }

  /** The search did not find anybody at once. */
  waits() {
    this.#waits = true;
    if (this.#gathers > 0) this.#timers.set('offer', offerAfter, () => void this.#describe());
  }

  /**
   * Hands the peer connection over, with the offer set or with none. Whatever
   * does not fit is closed: an offer where the other side offers, or candidates
   * that would tell an address which is not to be told.
   *
   * @param {{offers: boolean, relay: boolean}} call
   * @returns {RTCPeerConnection | null}
   */
  take({ offers, relay }) {
    const pc = this.#pc;
    const fits = pc !== null && relay === this.#relay && (offers ? this.#offer !== 'making' : this.#offer === 'none');
    if (fits) this.#pc = null;
    this.close();
    return fits ? pc : null;
  }

  close() {
    this.#made++;
    this.#stop();
    this.#timers.clearAll();
    this.#drop();
  }

  /** @param {boolean} gather ahead; else nothing is held outside the browser */
  async #make(gather) {
    const made = ++this.#made;
    this.#drop();
    const asked = this.#o.ice();
    const ice = asked instanceof Promise ? await asked : asked;
    if (made !== this.#made) return;
    const config = configuration(ice, this.#o.relay);
    this.#relay = config.iceTransportPolicy === 'relay';
    const PC = this.#o.RTCPeerConnection ?? globalThis.RTCPeerConnection;
    this.#pc = new PC({ ...config, iceCandidatePoolSize: gather ? 1 : 0 });
    this.#gathers += gather ? 1 : maxGathers;
    if (!gather) return;
    this.#timers.set('idle', Math.min(gatherFor, (ice?.ttl_ms ?? gatherFor) / 2), () => void this.#make(false));
    if (this.#waits) this.waits();
  }

  async #describe() {
    const pc = this.#pc;
    if (!pc || this.#offer !== 'none') return;
    this.#offer = 'making';
    try {
      addTransceivers(pc, this.#o.kinds, this.#o.track);
      await pc.setLocalDescription();
      if (pc === this.#pc) this.#offer = 'made';
    } catch (err) {
      console.debug('rondo: an offer ahead', err);
      if (pc === this.#pc) this.#drop();
    }
  }

  #drop() {
    this.#timers.clear('idle', 'offer');
    this.#pc?.close();
    this.#pc = null;
    this.#offer = 'none';
  }
}
