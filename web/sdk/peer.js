/** What every RTCPeerConnection of a call is made with. */

/** @typedef {import('./types.js').Ice} Ice */
/** @typedef {'audio' | 'video'} Kind */

/**
 * @param {Ice | undefined} ice
 * @param {boolean} relay media through TURN only
 * @returns {RTCConfiguration}
 */
export function configuration(ice, relay) {
  return { iceServers: ice?.servers ?? [], iceTransportPolicy: relay || ice?.policy === 'relay' ? 'relay' : 'all', bundlePolicy: 'max-bundle' };
}

/**
 * Makes room for what an offer is to negotiate.
 *
 * @param {RTCPeerConnection} pc
 * @param {Kind[]} kinds
 * @param {(kind: Kind) => MediaStreamTrack | null} track what we send now
 */
export function addTransceivers(pc, kinds, track) {
  for (const kind of kinds) pc.addTransceiver(track(kind) ?? kind, { direction: 'sendrecv', streams: [outStream(pc)] });
}

/** @type {WeakMap<RTCPeerConnection, MediaStream>} */
const outStreams = new WeakMap();

/**
 * The stream that our tracks are announced in, so that the other side plays
 * picture and sound in step.
 *
 * @param {RTCPeerConnection} pc
 */
export function outStream(pc) {
  let s = outStreams.get(pc);
  if (!s) outStreams.set(pc, (s = new MediaStream()));
  return s;
}
