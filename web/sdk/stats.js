/**
 * How good a connection is, from getStats().
 *
 * @typedef {object} Quality
 * @property {0 | 1 | 2 | 3 | 4} bars 4 is best; 0: nothing comes through
 * @property {number} rtt round trip in ms; NaN when unknown
 * @property {number} loss share of lost packets, the worse of both directions, 0…1
 * @property {number} bitrate what comes in, bits a second
 * @property {number} fps decoded pictures a second
 * @property {boolean} relayed whether a TURN server carries it
 */

/**
 * The counters that two readings are compared by.
 *
 * @typedef {object} Reading
 * @property {number} at ms
 * @property {number} rtt ms, NaN when unknown
 * @property {number} received packets
 * @property {number} lost packets
 * @property {number} remoteLoss 0…1, what the other side says it lost of ours
 * @property {number} bytes received
 * @property {number} frames decoded
 * @property {Pair} pair
 */

/**
 * The selected candidate pair.
 *
 * @typedef {object} Pair
 * @property {string} local host, srflx, prflx or relay; empty when unknown
 * @property {string} remote
 * @property {string} protocol udp or tcp
 * @property {string} relayProtocol udp, tcp or tls: how we reach the TURN server
 */

/**
 * @param {Iterable<any>} report the values of an RTCStatsReport
 * @param {number} at ms
 * @returns {Reading}
 */
export function read(report, at) {
  /** @type {Map<string, any>} */
  const byId = new Map();
  /** @type {Reading} */
  const r = { at, rtt: NaN, received: 0, lost: 0, remoteLoss: 0, bytes: 0, frames: 0, pair: { local: '', remote: '', protocol: '', relayProtocol: '' } };
  for (const s of report) byId.set(s.id, s);
  for (const s of byId.values()) {
    if (s.type === 'inbound-rtp') {
      r.received += s.packetsReceived ?? 0;
      r.lost += Math.max(0, s.packetsLost ?? 0);
      r.bytes += s.bytesReceived ?? 0;
      r.frames += s.framesDecoded ?? 0;
    } else if (s.type === 'remote-inbound-rtp') {
      r.remoteLoss = Math.max(r.remoteLoss, s.fractionLost ?? 0);
    }
  }
  const pair = selected(byId);
  if (pair) {
    if (typeof pair.currentRoundTripTime === 'number') r.rtt = pair.currentRoundTripTime * 1000;
    const local = byId.get(pair.localCandidateId);
    const remote = byId.get(pair.remoteCandidateId);
    r.pair = {
      local: local?.candidateType ?? '',
      remote: remote?.candidateType ?? '',
      protocol: local?.protocol ?? '',
      relayProtocol: local?.relayProtocol ?? '',
    };
  }
  return r;
}

/** @param {Map<string, any>} byId */
function selected(byId) {
  for (const s of byId.values()) {
    if (s.type === 'transport' && s.selectedCandidatePairId) return byId.get(s.selectedCandidatePairId);
  }
  for (const s of byId.values()) {
    if (s.type === 'candidate-pair' && (s.selected || (s.nominated && s.state === 'succeeded'))) return s;
  }
  return undefined;
}

/**
 * @param {Reading | null} before
 * @param {Reading} now
 * @param {{video: boolean}} expect whether the other side sends a picture
 * @returns {Quality}
 */
export function judge(before, now, expect) {
  const seconds = before ? Math.max(0.001, (now.at - before.at) / 1000) : 1;
  // Counters start anew with a new connection; a step back counts as none.
  const received = Math.max(0, now.received - (before?.received ?? now.received));
  const lost = Math.max(0, now.lost - (before?.lost ?? now.lost));
  const bytes = Math.max(0, now.bytes - (before?.bytes ?? now.bytes));
  const frames = Math.max(0, now.frames - (before?.frames ?? now.frames));
  const loss = Math.max(received + lost > 0 ? lost / (received + lost) : 0, now.remoteLoss);
  const stalled = before !== null && expect.video && frames === 0;
  return {
    bars: bars(now.rtt, loss, stalled),
    rtt: now.rtt,
    loss,
    bitrate: (bytes * 8) / seconds,
    fps: frames / seconds,
    relayed: now.pair.local === 'relay' || now.pair.remote === 'relay',
  };
}

/**
 * The worst of round trip, loss and a standing picture decides.
 *
 * @param {number} rtt ms
 * @param {number} loss 0…1
 * @param {boolean} stalled
 * @returns {0 | 1 | 2 | 3 | 4}
 */
export function bars(rtt, loss, stalled) {
  const byRtt = rtt > 800 ? 1 : rtt > 400 ? 2 : rtt > 200 ? 3 : 4;
  const byLoss = loss > 0.15 ? 1 : loss > 0.06 ? 2 : loss > 0.02 ? 3 : 4;
  return /** @type {0 | 1 | 2 | 3 | 4} */ (Math.min(byRtt, byLoss, stalled ? 1 : 4));
}
